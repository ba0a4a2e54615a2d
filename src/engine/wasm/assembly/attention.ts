/**
 * Attention of new tokens over the paged KV cache, for every head, as float32 or 8 bits.
 *
 * A page holds PAGE positions of every layer; of one layer it is K [kv_heads][PAGE][head_dim], V the
 * same, and for 8 bits after each the float32 scales [kv_heads][PAGE]. Positions are taken in chunks of
 * CHUNK at absolute boundaries; a chunk's partial result is its maximum score, the sum of exponentials
 * and the weighted sum of values, and partials are merged in order. One token's chunks may be computed
 * by several threads or one after another: the arithmetic, and so every bit, is the same.
 */
import { madd, sumLanes } from './dot'
import { exp1, exp4, softcap4 } from './math'

export const PAGE: u32 = 32
export const CHUNK: u32 = 256

/** Everything about one layer's attention that is the same for all its tokens. */
@unmanaged
export class Heads {
  heads: u32
  kvHeads: u32
  headDim: u32
  scale: f32
  /** 0: none. */
  softcap: f32
  /** First byte of page 0, this layer. */
  base: usize
  /** Bytes from a page to the next. */
  pageBytes: usize
}

/** Bytes of one page's K or V of one layer. */
// @ts-ignore: decorator
@inline
export function sideBytes<T>(h: Heads): usize {
  const values = <usize>h.kvHeads * PAGE * h.headDim * sizeof<T>()
  return sizeof<T>() == 1 ? values + <usize>h.kvHeads * PAGE * 4 : values
}

/** Floats of one head's partial: head_dim values, then maximum and sum. */
// @ts-ignore: decorator
@inline
export function partialFloats(h: Heads): usize {
  return h.headDim + 4
}

// @ts-ignore: decorator
@inline
function load4<T>(at: usize): v128 {
  if (sizeof<T>() == 4) return v128.load(at)
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(at))))
}

/** Where one position's vector of one kv head stands; `side` 0 for K, 1 for V. */
// @ts-ignore: decorator
@inline
function vectorAt<T>(h: Heads, table: usize, position: u32, kvHead: u32, side: usize): usize {
  const page = h.base + <usize>load<u32>(table + ((position / PAGE) << 2)) * h.pageBytes + side * sideBytes<T>(h)
  return page + (<usize>kvHead * PAGE + (position % PAGE)) * h.headDim * sizeof<T>()
}

// @ts-ignore: decorator
@inline
function scaleAt<T>(h: Heads, table: usize, position: u32, kvHead: u32, side: usize): usize {
  const page = h.base + <usize>load<u32>(table + ((position / PAGE) << 2)) * h.pageBytes + side * sideBytes<T>(h)
  return page + <usize>h.kvHeads * PAGE * h.headDim + (<usize>kvHead * PAGE + (position % PAGE)) * 4
}

/** Writes one position's key or value of one kv head. */
export function storeVector<T>(h: Heads, table: usize, position: u32, kvHead: u32, side: usize, x: usize): void {
  const at = vectorAt<T>(h, table, position, kvHead, side)
  if (sizeof<T>() == 4) {
    memory.copy(at, x, <usize>h.headDim << 2)
    return
  }
  let most = f32x4.splat(0)
  for (let i: usize = 0; i < h.headDim; i += 4) most = f32x4.max(most, f32x4.abs(v128.load(x + (i << 2))))
  most = f32x4.max(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1))
  const absmax = max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1))
  const inverse = f32x4.splat(absmax > 0 ? 127 / absmax : 0)
  for (let i: usize = 0; i < h.headDim; i += 4) {
    const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + (i << 2)), inverse)))
    const narrow = i16x8.narrow_i32x4_s(q, q)
    v128.store32_lane(at + i, i8x16.narrow_i16x8_s(narrow, narrow), 0)
  }
  store<f32>(scaleAt<T>(h, table, position, kvHead, side), absmax / 127)
}

/** Scores of up to four heads (q: consecutive, head_dim floats each) at one position, into lanes 0 .. 3. */
// @ts-ignore: decorator
@inline
function score4<T>(q: usize, k: usize, headDim: usize): v128 {
  let a = f32x4.splat(0), b = a, c = a, d = a
  const bytes = headDim << 2
  for (let i: usize = 0; i < bytes; i += 16) {
    const key = load4<T>(k + (sizeof<T>() == 4 ? i : i >> 2))
    const at = q + i
    a = madd(v128.load(at), key, a)
    b = madd(v128.load(at + bytes), key, b)
    c = madd(v128.load(at + 2 * bytes), key, c)
    d = madd(v128.load(at + 3 * bytes), key, d)
  }
  let lanes = f32x4.splat(sumLanes(a))
  lanes = f32x4.replace_lane(lanes, 1, sumLanes(b))
  lanes = f32x4.replace_lane(lanes, 2, sumLanes(c))
  return f32x4.replace_lane(lanes, 3, sumLanes(d))
}

// @ts-ignore: decorator
@inline
function score1<T>(q: usize, k: usize, headDim: usize): f32 {
  let a = f32x4.splat(0)
  for (let i: usize = 0; i < headDim << 2; i += 16) {
    a = madd(v128.load(q + i), load4<T>(k + (sizeof<T>() == 4 ? i : i >> 2)), a)
  }
  return sumLanes(a)
}

/** out (4 heads, head_dim) = p (4 heads, CHUNK) @ V, four heads at a time. */
// @ts-ignore: decorator
@inline
function mix4<T>(h: Heads, table: usize, kvHead: u32, from: u32, to: u32, p: usize, out: usize, stride: usize): void {
  for (let i: usize = 0; i < h.headDim; i += 8) {
    let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0
    let at: usize = 0
    for (let position = from; position < to; position++) {
      if (position == from || position % PAGE == 0) at = vectorAt<T>(h, table, position, kvHead, 1) + i * sizeof<T>()
      const v0 = load4<T>(at), v1 = load4<T>(at + 4 * sizeof<T>())
      at += <usize>h.headDim * sizeof<T>()
      const w = p + ((position - from) << 2)
      const wa = v128.load32_splat(w), wb = v128.load32_splat(w + CHUNK * 4)
      const wc = v128.load32_splat(w + CHUNK * 8), wd = v128.load32_splat(w + CHUNK * 12)
      a0 = madd(wa, v0, a0)
      a1 = madd(wa, v1, a1)
      b0 = madd(wb, v0, b0)
      b1 = madd(wb, v1, b1)
      c0 = madd(wc, v0, c0)
      c1 = madd(wc, v1, c1)
      d0 = madd(wd, v0, d0)
      d1 = madd(wd, v1, d1)
    }
    let to4 = out + (i << 2)
    v128.store(to4, a0)
    v128.store(to4, a1, 16)
    to4 += stride
    v128.store(to4, b0)
    v128.store(to4, b1, 16)
    to4 += stride
    v128.store(to4, c0)
    v128.store(to4, c1, 16)
    to4 += stride
    v128.store(to4, d0)
    v128.store(to4, d1, 16)
  }
}

// @ts-ignore: decorator
@inline
function mix1<T>(h: Heads, table: usize, kvHead: u32, from: u32, to: u32, p: usize, out: usize): void {
  for (let i: usize = 0; i < h.headDim; i += 8) {
    let a0 = f32x4.splat(0), a1 = a0
    for (let position = from; position < to; position++) {
      const at = vectorAt<T>(h, table, position, kvHead, 1) + i * sizeof<T>()
      const w = v128.load32_splat(p + ((position - from) << 2))
      a0 = madd(w, load4<T>(at), a0)
      a1 = madd(w, load4<T>(at + 4 * sizeof<T>()), a1)
    }
    v128.store(out + (i << 2), a0)
    v128.store(out + (i << 2), a1, 16)
  }
}

/** Scores (CHUNK) of one head, in place: cap, softmax numerators; the partial's maximum and sum. */
function soften(h: Heads, scores: usize, count: u32, partial: usize): void {
  // Lanes past the end must not win: they are set to minus infinity, whose exponential is 0.
  const padded = (count + 3) & ~3
  for (let i = count; i < padded; i++) store<f32>(scores + (i << 2), -Infinity)
  let most = f32x4.splat(-Infinity)
  for (let i: usize = 0; i < <usize>padded << 2; i += 16) {
    if (h.softcap > 0) v128.store(scores + i, softcap4(v128.load(scores + i), h.softcap))
  }
  for (let i = count; i < padded; i++) store<f32>(scores + (i << 2), -Infinity)
  for (let i: usize = 0; i < <usize>padded << 2; i += 16) most = f32x4.max(most, v128.load(scores + i))
  most = f32x4.max(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1))
  const maximum = max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1))
  let sum = f32x4.splat(0)
  for (let i: usize = 0; i < <usize>padded << 2; i += 16) {
    const e = exp4(f32x4.sub(v128.load(scores + i), f32x4.splat(maximum)))
    v128.store(scores + i, e)
  }
  for (let i = count; i < padded; i++) store<f32>(scores + (i << 2), 0)
  for (let i: usize = 0; i < <usize>padded << 2; i += 16) sum = f32x4.add(sum, v128.load(scores + i))
  const end = partial + (<usize>h.headDim << 2)
  store<f32>(end, maximum)
  store<f32>(end, sumLanes(sum), 4)
}

/**
 * Partials of all heads of one token over positions from .. to of one chunk.
 *
 * @param q (heads, head_dim), rotated
 * @param scratch 4 * CHUNK floats of this thread
 * @param partials (heads, partialFloats)
 */
export function attendChunk<T>(h: Heads, q: usize, table: usize, from: u32, to: u32, scratch: usize, partials: usize): void {
  const group = h.heads / h.kvHeads
  const headBytes = <usize>h.headDim << 2
  const stride = partialFloats(h) << 2
  const count = to - from
  for (let kvHead: u32 = 0; kvHead < h.kvHeads; kvHead++) {
    let head = kvHead * group
    const end = head + group
    for (; head < end; ) {
      const width: u32 = end - head >= 4 ? 4 : 1
      const mine = q + head * headBytes
      for (let position = from; position < to; position++) {
        const k = vectorAt<T>(h, table, position, kvHead, 0)
        const scale = sizeof<T>() == 1 ? h.scale * load<f32>(scaleAt<T>(h, table, position, kvHead, 0)) : h.scale
        const at = scratch + ((position - from) << 2)
        if (width == 4) {
          const s = f32x4.mul(score4<T>(mine, k, h.headDim), f32x4.splat(scale))
          store<f32>(at, f32x4.extract_lane(s, 0))
          store<f32>(at + CHUNK * 4, f32x4.extract_lane(s, 1))
          store<f32>(at + CHUNK * 8, f32x4.extract_lane(s, 2))
          store<f32>(at + CHUNK * 12, f32x4.extract_lane(s, 3))
        } else {
          store<f32>(at, score1<T>(mine, k, h.headDim) * scale)
        }
      }
      for (let i: u32 = 0; i < width; i++) {
        const scores = scratch + i * CHUNK * 4
        soften(h, scores, count, partials + (head + i) * stride)
        if (sizeof<T>() == 1) {
          for (let j: u32 = 0; j < count; j++) {
            const at = scores + (j << 2)
            store<f32>(at, load<f32>(at) * load<f32>(scaleAt<T>(h, table, from + j, kvHead, 1)))
          }
        }
      }
      const out = partials + head * stride
      if (width == 4) mix4<T>(h, table, kvHead, from, to, scratch, out, stride)
      else mix1<T>(h, table, kvHead, from, to, scratch, out)
      head += width
    }
  }
}

/** One head's next partial joins what is there. */
export function mergePartial(h: Heads, into: usize, from: usize): void {
  const end = <usize>h.headDim << 2
  const a = load<f32>(into + end), b = load<f32>(from + end)
  const most = max(a, b)
  const wa = exp1(a - most), wb = exp1(b - most)
  for (let i: usize = 0; i < end; i += 16) {
    const kept = f32x4.mul(v128.load(into + i), f32x4.splat(wa))
    v128.store(into + i, madd(v128.load(from + i), f32x4.splat(wb), kept))
  }
  store<f32>(into + end, most)
  store<f32>(into + end, load<f32>(into + end, 4) * wa + load<f32>(from + end, 4) * wb, 4)
}

/** Divides by the sum of exponentials, in place: the head's output. */
export function finishPartial(h: Heads, partial: usize): void {
  const end = <usize>h.headDim << 2
  const inverse = f32x4.splat(1 / load<f32>(partial + end, 4))
  for (let i: usize = 0; i < end; i += 16) v128.store(partial + i, f32x4.mul(v128.load(partial + i), inverse))
}
