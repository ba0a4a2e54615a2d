/** WGSL of keys and values as they are kept: float32, or float16 two to a word. */

/** Bits of a cached key or value. */
export type CacheBits = 16 | 32

/** Of four elements that lie together. */
export function cachedType(bits: CacheBits): string {
  return bits === 16 ? 'array<vec2u>' : 'array<vec4f>'
}

/**
 * `toCached` and `fromCached` of four elements. Rounded half to even, and what float16 has no full precision for
 * becomes 0: by integers, because adapters may round and flush as they like in pack2x16float, which is left only
 * values that it holds exactly. What is more than float16 holds becomes its greatest.
 */
export function cachedFunctions(bits: CacheBits): string {
  if (bits === 32) {
    return `
fn toCached(x: vec4f) -> vec4f { return x; }
fn fromCached(x: vec4f) -> vec4f { return x; }
`
  }
  return `
fn toCached(x: vec4f) -> vec2u {
  let bits = bitcast<vec4u>(clamp(x, vec4f(-65504.0), vec4f(65504.0)));
  let rounded = bitcast<vec4f>((bits + 0xfffu + ((bits >> vec4u(13u)) & vec4u(1u))) & vec4u(0xffffe000u));
  let kept = select(vec4f(), rounded, abs(x) >= vec4f(${2 ** -14}));
  return vec2u(pack2x16float(kept.xy), pack2x16float(kept.zw));
}
fn fromCached(x: vec2u) -> vec4f { return vec4f(unpack2x16float(x.x), unpack2x16float(x.y)); }
`
}
