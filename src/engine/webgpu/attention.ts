/** WGSL of attention over paged keys and values. */
import type { LayerConfig } from '../../gemma/config.ts'
import { PAGE } from '../page-pool.ts'
import { type Bits, placeFunction } from './activations.ts'
import { type CacheBits, cachedFunctions, cachedType } from './cached.ts'
import { JOB_FUNCTIONS } from './job.ts'
import { f32, type Kernel, kernel, read, readWrite, unroll } from './kernel.ts'
import { type HeadShape, turnHere } from './rotation.ts'

const LANES = 256
/** Below every score. */
const NONE = '-3.0e38'

/** What an attention kernel does besides. */
export interface AttendOptions {
  /** Of activations. */
  readonly order: Bits
  readonly cacheBits: CacheBits
  /** Positions of a workgroup, a multiple of PAGE; undefined: all of them. */
  readonly split: number | undefined
  /** Turns queries and keys and writes keys and values itself: right where no token needs another's of its pass. */
  readonly rotates: boolean
}

/**
 * One workgroup a token, KV head and split of the positions; all query heads of the KV head share its keys.
 * Whole: one split, and the result as activations. Otherwise sums, greatest scores and weights of each split.
 */
export function attend(shape: HeadShape, { window }: LayerConfig, options: AttendOptions): Kernel {
  const { heads, kvHeads, headDim, attentionSoftcap: cap } = shape
  const { order, cacheBits, split, rotates } = options
  const cached = cachedType(cacheBits)
  const vectors = headDim / 4
  const share = heads / kvHeads
  const width = (heads + 2 * kvHeads) * vectors
  const groups = Math.floor(LANES / vectors)
  const own = Math.ceil(share / groups)
  const scorers = LANES / PAGE
  const run = [8, 4, 2].find((count) => vectors % count === 0) ?? 1
  const score = cap === undefined ? 'sum' : `${f32(cap)} * tanh(clamp(sum / ${f32(cap)}, -15.0, 15.0))`
  const mine = (make: (i: number) => string): string =>
    unroll(
      own,
      (i) =>
        `if (group + ${i * groups}u < ${share}u && group < ${groups}u) { let h = group + ${i * groups}u; ${make(i)} }`,
    )
  const result = (i: number): string =>
    split === undefined
      ? `let out = sum${i} / weight${i};
      let origin = (workgroup.y * ${share}u + h) * ${headDim}u + column * 4u;
      ${unroll(4, (c) => `y[t * ${heads * headDim}u + placeOf(origin + ${c}u)] = out[${c}];`)}`
      : `let at = (t * ${heads}u + workgroup.y * ${share}u + h) * workgroups.z + workgroup.z;
      sums[at * ${vectors}u + column] = sum${i};
      if (column == 0u) { tops[at] = vec2f(top${i}, weight${i}); }`
  return kernel({
    name: `attention${window === undefined ? '' : ` in a window of ${window}`}${split === undefined ? '' : ', split'}`,
    bindings: {
      job: read('array<u32>'),
      ...(rotates && { angles: read('array<vec4f>') }),
      qkv: read('array<vec4f>'),
      keys: rotates ? readWrite(cached) : read(cached),
      values: rotates ? readWrite(cached) : read(cached),
      ...(split === undefined
        ? { y: readWrite('array<f32>') }
        : { sums: readWrite('array<vec4f>'), tops: readWrite('array<vec2f>') }),
    },
    workgroupSize: LANES,
    declarations: `${JOB_FUNCTIONS}${placeFunction(heads * headDim, order)}${cachedFunctions(cacheBits)}
var<workgroup> query: array<vec4f, ${share * vectors}>;
var<workgroup> scores: array<f32, ${share * PAGE}>;
var<workgroup> best: array<f32, ${share}>;`,
    body: `
  let t = workgroup.x;
  let position = positionOf(t);
  let table = tableOf(t);
  let seen = ${window === undefined ? '0u' : `select(0u, position + 1u - ${window}u, position + 1u > ${window}u)`};
  let begin = ${split === undefined ? 'seen' : `max(seen, workgroup.z * ${split}u)`};
  let end = ${split === undefined ? 'position + 1u' : `min(position + 1u, (workgroup.z + 1u) * ${split}u)`};
  ${rotates ? turnHere(shape, { split, lanes: LANES }) : `for (var i = lane; i < ${share * vectors}u; i += ${LANES}u) { query[i] = qkv[t * ${width}u + workgroup.y * ${share * vectors}u + i]; }`}
  workgroupBarrier();
  let column = lane % ${vectors}u;
  let group = lane / ${vectors}u;
  let slot = lane % ${PAGE}u;
  ${unroll(own, (i) => `var top${i} = ${NONE}; var weight${i} = 0.0; var sum${i} = vec4f();`)}
  for (var base = begin - begin % ${PAGE}u; base < end; base += ${PAGE}u) {
    let page = job[table + base / ${PAGE}u] * ${kvHeads}u + workgroup.y;
    let visible = base + slot >= begin && base + slot < end;
    for (var h = lane / ${PAGE}u; h < ${share}u; h += ${scorers}u) {
      var value = ${NONE};
      if (visible) {
        var sums4 = vec4f();
        for (var j = 0u; j < ${vectors}u; j += ${run}u) {
          ${unroll(run, (i) => `let key${i} = fromCached(keys[(page * ${vectors}u + j + ${i}u) * ${PAGE}u + slot]);`)}
          ${unroll(run, (i) => `sums4 = fma(query[h * ${vectors}u + j + ${i}u], key${i}, sums4);`)}
        }
        let sum = dot(sums4, vec4f(1.0));
        value = ${score};
      }
      scores[h * ${PAGE}u + slot] = value;
    }
    workgroupBarrier();
    ${unroll(own, (i) => `var fade${i} = 1.0;`)}
    ${mine(
      (i) => `var most = top${i};
      for (var k = 0u; k < ${PAGE}u; k++) { most = max(most, scores[h * ${PAGE}u + k]); }
      fade${i} = exp(top${i} - most);
      top${i} = most;
      if (column == 0u) { best[h] = most; }`,
    )}
    workgroupBarrier();
    for (var h = lane / ${PAGE}u; h < ${share}u; h += ${scorers}u) {
      let at = h * ${PAGE}u + slot;
      scores[at] = select(0.0, exp(scores[at] - best[h]), visible);
    }
    workgroupBarrier();
    ${mine((i) => `sum${i} *= fade${i}; weight${i} *= fade${i};`)}
    let count = min(end - base, ${PAGE}u);
    let origin = page * ${PAGE * vectors}u + column;
    for (var k = 0u; k < count; k += 4u) {
      ${unroll(4, (i) => `let value${i} = select(vec4f(), fromCached(values[origin + (k + ${i}u) * ${vectors}u]), k + ${i}u < count);`)}
      ${mine((i) => unroll(4, (k) => `let part${k} = scores[h * ${PAGE}u + k + ${k}u]; sum${i} = fma(vec4f(part${k}), value${k}, sum${i}); weight${i} += part${k};`))}
    }
    workgroupBarrier();
  }
  ${mine(result)}`,
  })
}

/** Merges the splits of each token and head into activations. */
export function merge({ heads, headDim }: HeadShape, order: Bits): Kernel {
  const vectors = headDim / 4
  const groups = Math.floor(LANES / vectors)
  const take = (top: string, weight: string, sum: string): string => `
    let most = max(top, ${top});
    let fade = exp(top - most);
    let gain = exp(${top} - most);
    sum = sum * fade + ${sum} * gain;
    weight = weight * fade + ${weight} * gain;
    top = most;`
  return kernel({
    name: 'merging of attention',
    bindings: {
      job: read('array<u32>'),
      sums: read('array<vec4f>'),
      tops: read('array<vec2f>'),
      y: readWrite('array<f32>'),
    },
    workgroupSize: groups * vectors,
    declarations: `${JOB_FUNCTIONS}${placeFunction(heads * headDim, order)}
var<workgroup> partSums: array<vec4f, ${groups * vectors}>;
var<workgroup> partTops: array<vec2f, ${groups}>;`,
    body: `
  let row = workgroup.x * ${heads}u + workgroup.y;
  let count = splitCount();
  let column = lane % ${vectors}u;
  let group = lane / ${vectors}u;
  var top = ${NONE};
  var weight = 0.0;
  var sum = vec4f();
  for (var i = group; i < count; i += ${groups}u) {
    let other = tops[row * count + i];
    ${take('other.x', 'other.y', `sums[(row * count + i) * ${vectors}u + column]`)}
  }
  partSums[lane] = sum;
  if (column == 0u) { partTops[group] = vec2f(top, weight); }
  workgroupBarrier();
  if (group > 0u) { return; }
  for (var i = 1u; i < ${groups}u; i++) {
    let other = partTops[i];
    ${take('other.x', 'other.y', `partSums[i * ${vectors}u + column]`)}
  }
  let out = sum / weight;
  let origin = workgroup.y * ${headDim}u + lane * 4u;
  ${unroll(4, (c) => `y[workgroup.x * ${heads * headDim}u + placeOf(origin + ${c}u)] = out[${c}];`)}`,
  })
}
