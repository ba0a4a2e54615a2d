/** float32 activations to 8 bits, a block of 32 at a time, into the tiles that matmul.ts reads. */
import { Activations, tileTokens } from './matmul'

/** Where block b of token t stands, counted in blocks. */
// @ts-ignore: decorator
@inline
export function blockIndex(a: Activations, t: u32, b: u32): usize {
  const tile = t & ~15
  return <usize>tile * (a.columns >> 5) + <usize>b * tileTokens(a, t) + (t - tile)
}

// @ts-ignore: decorator
@inline
function max4(a: v128, b: v128): v128 {
  return f32x4.max(a, b)
}

/** Eight floats at `at`, scaled and rounded half to even, as int16. */
// @ts-ignore: decorator
@inline
function round8(at: usize, inverse: v128): v128 {
  const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at), inverse)))
  const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at, 16), inverse)))
  return i16x8.narrow_i32x4_s(low, high)
}

/** 32 floats at `x` become block b of token t: scale = absmax / 127. */
export function quantizeBlock(x: usize, a: Activations, t: u32, b: u32): void {
  let most = f32x4.splat(0)
  for (let i: usize = 0; i < 128; i += 32) {
    most = max4(most, max4(f32x4.abs(v128.load(x + i)), f32x4.abs(v128.load(x + i, 16))))
  }
  most = max4(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1))
  most = max4(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2))
  const absmax = f32x4.extract_lane(most, 0)
  const inverse = f32x4.splat(absmax > 0 ? 127 / absmax : 0)
  const c0 = round8(x, inverse), c1 = round8(x + 32, inverse), c2 = round8(x + 64, inverse), c3 = round8(x + 96, inverse)
  const ones = i16x8.splat(1)
  let sum = i32x4.add(i32x4.dot_i16x8_s(c0, ones), i32x4.dot_i16x8_s(c1, ones))
  sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(c2, ones), i32x4.dot_i16x8_s(c3, ones)))
  sum = i32x4.add(sum, v128.shuffle<i32>(sum, sum, 2, 3, 0, 1))
  const at = blockIndex(a, t, b)
  v128.store(a.codes + at * 32, i8x16.narrow_i16x8_s(c0, c1))
  v128.store(a.codes + at * 32, i8x16.narrow_i16x8_s(c2, c3), 16)
  store<f32>(a.scales + at * 4, absmax / 127)
  store<i32>(a.zeros + at * 4, -8 * (i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1)))
}

/** The tokens that only pad the last tile: zero, so that they cannot disturb. */
export function clearPadding(a: Activations, b: u32): void {
  const rest = a.tokens & 15
  if (rest == 0) return
  const tokens = tileTokens(a, a.tokens - 1)
  const first = blockIndex(a, a.tokens - rest, b)
  memory.fill(a.codes + (first + rest) * 32, 0, (tokens - rest) * 32)
  memory.fill(a.scales + (first + rest) * 4, 0, (tokens - rest) * 4)
  memory.fill(a.zeros + (first + rest) * 4, 0, (tokens - rest) * 4)
}
