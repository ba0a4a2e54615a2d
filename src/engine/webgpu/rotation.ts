/** WGSL of rotary positions: queries and keys turned by their angles, keys and values written to their pages. */
import type { GemmaConfig } from '../../gemma/config.ts'
import { PAGE } from '../page-pool.ts'
import { type CacheBits, cachedFunctions, cachedType } from './cached.ts'
import { JOB_FUNCTIONS } from './job.ts'
import { f32, type Kernel, kernel, read, readWrite } from './kernel.ts'

/** What attention is computed from. */
export type HeadShape = Pick<
  GemmaConfig,
  'heads' | 'kvHeads' | 'headDim' | 'attentionScale' | 'attentionSoftcap' | 'qkNorm' | 'rmsNormEps'
>

/**
 * Turns queries (in place, scaled) and keys by their angles, with Gemma 3's norms before that, and writes keys
 * and values to their pages. One workgroup a token and head: queries, then keys, then values.
 *
 * A page holds keys as (headDim / 4, PAGE) vectors of four, so that lanes with neighbouring positions read
 * neighbouring vectors, and values as (PAGE, headDim / 4).
 */
export function rotate(shape: HeadShape, cacheBits: CacheBits): Kernel {
  const { heads, kvHeads, headDim, attentionScale, qkNorm, rmsNormEps } = shape
  const vectors = headDim / 4
  const half = vectors / 2
  const width = (heads + 2 * kvHeads) * vectors
  const lanes = 64
  return kernel({
    name: 'rotation',
    bindings: {
      job: read('array<u32>'),
      angles: read('array<vec4f>'),
      qkv: readWrite('array<vec4f>'),
      keys: readWrite(cachedType(cacheBits)),
      values: readWrite(cachedType(cacheBits)),
      ...(qkNorm && { queryNorm: read('array<vec4f>'), keyNorm: read('array<vec4f>') }),
    },
    workgroupSize: lanes,
    declarations: `${JOB_FUNCTIONS}${cachedFunctions(cacheBits)}
var<workgroup> squares: array<f32, ${lanes}>;`,
    body: `
  let t = workgroup.x;
  let head = workgroup.y;
  let position = positionOf(t);
  let origin = t * ${width}u + head * ${vectors}u;
  let page = job[tableOf(t) + position / ${PAGE}u] * ${kvHeads}u;
  let slot = position % ${PAGE}u;
  if (head >= ${heads + kvHeads}u) {
    let to = ((page + head - ${heads + kvHeads}u) * ${PAGE}u + slot) * ${vectors}u;
    for (var i = lane; i < ${vectors}u; i += ${lanes}u) { values[to + i] = toCached(qkv[origin + i]); }
    return;
  }
  ${
    qkNorm
      ? `var square = 0.0;
  for (var i = lane; i < ${vectors}u; i += ${lanes}u) { square += dot(qkv[origin + i], qkv[origin + i]); }
  squares[lane] = square;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < ${lanes}u; i++) { sum += squares[i]; }
  let factor = inverseSqrt(sum / ${headDim}.0 + ${f32(rmsNormEps)});`
      : ''
  }
  for (var pair = lane; pair < ${half}u; pair += ${lanes}u) {
    var a = qkv[origin + pair];
    var b = qkv[origin + pair + ${half}u];
    ${
      qkNorm
        ? `if (head < ${heads}u) { a *= factor * queryNorm[pair]; b *= factor * queryNorm[pair + ${half}u]; }
    else { a *= factor * keyNorm[pair]; b *= factor * keyNorm[pair + ${half}u]; }`
        : ''
    }
    ${turn(half)}
    if (head < ${heads}u) {
      qkv[origin + pair] = c * ${f32(attentionScale)};
      qkv[origin + pair + ${half}u] = d * ${f32(attentionScale)};
    } else {
      let to = (page + head - ${heads}u) * ${vectors}u + pair;
      keys[to * ${PAGE}u + slot] = toCached(c);
      keys[(to + ${half}u) * ${PAGE}u + slot] = toCached(d);
    }
  }`,
  })
}

/** Vectors a and b of a head, `half` vectors apart, turned to c and d. */
function turn(half: number): string {
  return `let angle0 = angles[(position * ${half}u + pair) * 2u];
    let angle1 = angles[(position * ${half}u + pair) * 2u + 1u];
    let cosine = vec4f(angle0.xz, angle1.xz);
    let sine = vec4f(angle0.yw, angle1.yw);
    let c = a * cosine - b * sine;
    let d = b * cosine + a * sine;`
}

/** The rotation as `rotate` does it, by the workgroup that attends; the one whose split the token is in writes. */
export function turnHere(
  { heads, kvHeads, headDim, attentionScale }: HeadShape,
  { split, lanes }: { readonly split: number | undefined; readonly lanes: number },
): string {
  const vectors = headDim / 4
  const half = vectors / 2
  const share = heads / kvHeads
  const width = (heads + 2 * kvHeads) * vectors
  const writes = split === undefined ? 'true' : `workgroup.z == position / ${split}u`
  return `
  let slotHere = position % ${PAGE}u;
  let pageHere = job[table + position / ${PAGE}u] * ${kvHeads}u + workgroup.y;
  let writes = ${writes};
  for (var i = lane; i < ${(share + 1) * half}u; i += ${lanes}u) {
    let h = i / ${half}u;
    let pair = i % ${half}u;
    let head = select(${heads}u + workgroup.y, workgroup.y * ${share}u + h, h < ${share}u);
    let at = t * ${width}u + head * ${vectors}u + pair;
    let a = qkv[at];
    let b = qkv[at + ${half}u];
    ${turn(half)}
    if (h < ${share}u) {
      query[h * ${vectors}u + pair] = c * ${f32(attentionScale)};
      query[h * ${vectors}u + pair + ${half}u] = d * ${f32(attentionScale)};
    } else if (writes) {
      keys[(pageHere * ${vectors}u + pair) * ${PAGE}u + slotHere] = toCached(c);
      keys[(pageHere * ${vectors}u + pair + ${half}u) * ${PAGE}u + slotHere] = toCached(d);
    }
  }
  if (writes && lane < ${vectors}u) {
    values[(pageHere * ${PAGE}u + slotHere) * ${vectors}u + lane] = toCached(qkv[t * ${width}u + (${heads + kvHeads}u + workgroup.y) * ${vectors}u + lane]);
  }
  storageBarrier();`
}
