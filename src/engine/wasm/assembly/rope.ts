/** Rotary positions, half-split: (x_i, x_{i+d/2}) turn by the angle of pair i. */
import { madd } from './dot'

/** x (head_dim) in place; table: head_dim/2 cosines, then head_dim/2 sines. */
export function rotate(x: usize, table: usize, headDim: u32): void {
  const half = <usize>headDim << 1
  for (let i: usize = 0; i < half; i += 16) {
    const a = v128.load(x + i), b = v128.load(x + i + half)
    const cos = v128.load(table + i), sin = v128.load(table + i + half)
    v128.store(x + i, f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)))
    v128.store(x + i + half, madd(b, cos, f32x4.mul(a, sin)))
  }
}
