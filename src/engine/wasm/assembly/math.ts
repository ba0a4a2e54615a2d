/** Elementary functions on four float32 at once; the same bits on every thread count. */
import { madd } from './dot'

/** e^x within 2 ulp on [-87, 88]; clamped outside. Coefficients: Cephes expf (S. Moshier). */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const clamped = f32x4.max(f32x4.min(x, f32x4.splat(88.0)), f32x4.splat(-87.0))
  const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(1.44269504088896341)))
  let r = madd(n, f32x4.splat(-0.693359375), clamped)
  r = madd(n, f32x4.splat(2.12194440e-4), r)
  let p = f32x4.splat(1.9875691500e-4)
  p = madd(p, r, f32x4.splat(1.3981999507e-3))
  p = madd(p, r, f32x4.splat(8.3334519073e-3))
  p = madd(p, r, f32x4.splat(4.1665795894e-2))
  p = madd(p, r, f32x4.splat(1.6666665459e-1))
  p = madd(p, r, f32x4.splat(5.0000001201e-1))
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, f32x4.splat(1)))
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23)
  return f32x4.mul(p, power)
}

// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0)
}

/** tanh-GELU: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x / (1 + e^(-2u)). */
// @ts-ignore: decorator
@inline
export function gelu4(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(x, x), x)
  const u = f32x4.mul(madd(cube, f32x4.splat(0.044715), x), f32x4.splat(0.7978845608028654))
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.mul(u, f32x4.splat(-2)))))
}

/** cap * tanh(x / cap). */
// @ts-ignore: decorator
@inline
export function softcap4(x: v128, cap: f32): v128 {
  const e = exp4(f32x4.mul(x, f32x4.splat(2 / cap)))
  const one = f32x4.splat(1)
  return f32x4.mul(f32x4.splat(cap), f32x4.sub(one, f32x4.div(f32x4.splat(2), f32x4.add(e, one))))
}
