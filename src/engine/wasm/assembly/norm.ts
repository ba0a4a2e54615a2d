/** RMSNorm in float32: x * rsqrt(mean(x^2) + eps) * w, with the 1 already in w. */
import { madd, sumLanes } from './dot'

// @ts-ignore: decorator
@inline
function inverseRms(x: usize, n: u32, eps: f32): v128 {
  let even = f32x4.splat(0), odd = even
  for (let i: usize = 0; i < <usize>n << 2; i += 32) {
    const a = v128.load(x + i), b = v128.load(x + i, 16)
    even = madd(a, a, even)
    odd = madd(b, b, odd)
  }
  return f32x4.splat(1 / sqrt<f32>(sumLanes(f32x4.add(even, odd)) / <f32>n + eps))
}

/** y (n) = norm(x (n)); n a multiple of 8; y may be x. */
export function rmsNorm(x: usize, w: usize, y: usize, n: u32, eps: f32): void {
  const scale = inverseRms(x, n, eps)
  for (let i: usize = 0; i < <usize>n << 2; i += 16) {
    v128.store(y + i, f32x4.mul(f32x4.mul(v128.load(x + i), scale), v128.load(w + i)))
  }
}

/** x (n) += y (n). */
export function add(x: usize, y: usize, n: u32): void {
  for (let i: usize = 0; i < <usize>n << 2; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(y + i)))
}

/** x (n) *= factor. */
export function scale(x: usize, n: u32, factor: f32): void {
  for (let i: usize = 0; i < <usize>n << 2; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), f32x4.splat(factor)))
}
