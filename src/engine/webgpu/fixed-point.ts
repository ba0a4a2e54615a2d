/** WGSL of sums that do not depend on their order: 64-bit integers in pairs of u32, and logits as integers. */

/**
 * Sixty-four bits: x low, y high. A weight of 1 is 2^44, so that a vocabulary of 2^18 of them fits, and float32
 * weights down to 2^-20 are exact.
 */
export const WIDE = `
fn plus(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn minus(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x)); }
fn isLess(a: vec2u, b: vec2u) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
fn product(a: u32, b: u32) -> vec2u {
  let ll = (a & 0xffffu) * (b & 0xffffu);
  let lh = (a & 0xffffu) * (b >> 16u);
  let hl = (a >> 16u) * (b & 0xffffu);
  let middle = (ll >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
  return vec2u((ll & 0xffffu) | (middle << 16u), (a >> 16u) * (b >> 16u) + (lh >> 16u) + (hl >> 16u) + (middle >> 16u));
}
// a * count; the caller knows that it fits
fn times(a: vec2u, count: u32) -> vec2u {
  let low = product(a.x, count);
  return vec2u(low.x, low.y + a.y * count);
}
// a * part / 2^32
fn share(a: vec2u, part: u32) -> vec2u { return plus(product(a.y, part), vec2u(product(a.x, part).y, 0u)); }
`

/** Logits as integers of the same order; 0: none at all. WGSL of exp to a last place or two, on any adapter. */
export const LOGIT_KEYS = `
const INFINITE = 0xff800000u;
fn keyOf(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0xff800000u) { return 0u; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn isNumber(bits: u32) -> bool { return (bits & 0x7fffffffu) <= 0x7f800000u; }
fn logitOf(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }
fn exponential(x: f32) -> f32 {
  if (x < -80.0) { return 0.0; }
  let n = round(x * 1.4426950408889634);
  let r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x));
  var p = fma(r, 0.0013888889, 0.0083333333);
  p = fma(p, r, 0.041666667);
  p = fma(p, r, 0.16666667);
  p = fma(p, r, 0.5);
  p = fma(p, r, 1.0);
  p = fma(p, r, 1.0);
  return p * bitcast<f32>(u32(i32(n) + 127) << 23u);
}
// exp((logit - greatest) / temperature), at most 1
fn weightOf(key: u32, greatest: f32, temperature: f32) -> f32 {
  if (key == 0u) { return 0.0; }
  return min(exponential((logitOf(key) - greatest) / temperature), 1.0);
}
fn wide(weight: f32) -> vec2u {
  let scaled = weight * 4096.0;
  let high = floor(scaled);
  return vec2u(u32((scaled - high) * 4294967296.0), u32(high));
}
`
