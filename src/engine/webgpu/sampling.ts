/**
 * WGSL of choosing tokens: from logits to ids, as choose.ts does it, without the vocabulary leaving the GPU.
 *
 * Nothing is sorted. Top-k and top-p each end at one logit, found digit by digit: a pass adds up, for each value
 * of the next eight bits, how many tokens (or how much probability) have it. Of tokens with just that logit
 * ("ties") the first few by id are kept. All sums are integers, so that they come out the same in any order.
 */
import { CHOSEN, type ChoiceLayout, choiceFunctions, MASKED } from './choices.ts'
import { LOGIT_KEYS } from './fixed-point.ts'
import { type Kernel, kernel, read, readWrite } from './kernel.ts'

export const LANES = 256
/** Digits of a logit, for top-k and then for top-p. */
export const PASSES = 8
/** Values of a digit. */
export const BINS = 256

/** Words of each row in the buffers between the kernels. */
export const ROW_WORDS: Readonly<Record<'leaders' | 'histograms' | 'cuts' | 'masses', number>> = {
  /** Of a chunk: greatest key and its id, whether all are numbers, the model's own greatest key. */
  leaders: LANES * 4,
  /** Low and high of each bin of each pass. */
  histograms: PASSES * BINS * 2,
  /** Before each pass and at the end: digits so far, what is missing (low, high), floor, ties at it, 3 unused. */
  cuts: (PASSES + 1) * 8,
  /** Of a chunk: weight above the cut (low, high), ties, weight of all by the model's own logits (low, high). */
  masses: LANES * 8,
}

/** Applies mask, bias and penalties; finds each chunk's greatest. One workgroup a chunk and row. */
export function adjustLogits(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunk, chunks } = layout
  return kernel({
    name: 'adjusting of logits',
    bindings: {
      choices: read('array<u32>'),
      logits: read('array<u32>'),
      keys: readWrite('array<u32>'),
      leaders: readWrite('array<vec4u>'),
      histograms: readWrite('array<u32>'),
    },
    workgroupSize: LANES,
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}
var<workgroup> own: array<u32, ${chunk}>;
${LEADERS}`,
    body: `
  let row = workgroup.y;
  let flags = flagsOf(row);
  if ((flags & ${CHOSEN}u) == 0u) { return; }
  for (var i = workgroup.x * ${LANES}u + lane; i < ${ROW_WORDS.histograms}u; i += ${chunks * LANES}u) { histograms[row * ${ROW_WORDS.histograms}u + i] = 0u; }
  let first = workgroup.x * ${chunk}u;
  var broken = 0u;
  var greatest = 0u;
  for (var i = lane; i < ${chunk}u; i += ${LANES}u) {
    var key = 0u;
    let id = first + i;
    if (id < ${vocabSize}u) {
      let bits = logits[row * ${vocabSize}u + id];
      key = keyOf(bits);
      greatest = max(greatest, key);
      if ((flags & ${MASKED}u) != 0u && !isAllowed(row, id)) { key = 0u; }
      else if (!isNumber(bits)) { broken = 1u; }
    }
    own[i] = key;
  }
  workgroupBarrier();
  let end = firstAdjustmentOf(row) + adjustmentCountOf(row);
  for (var e = firstAdjustmentOf(row) + lane; e < end; e += ${LANES}u) {
    let change = adjustmentAt(e);
    if (change.id < first || change.id >= first + ${chunk}u || own[change.id - first] == 0u) { continue; }
    var logit = logitOf(own[change.id - first]) + change.bias;
    logit = select(logit * change.penalty, logit / change.penalty, logit > 0.0) - change.minus;
    own[change.id - first] = select(keyOf(bitcast<u32>(logit)), 0u, change.banned);
  }
  workgroupBarrier();
  var best = vec2u();
  for (var i = lane; i < ${chunk}u; i += ${LANES}u) {
    if (first + i < ${vocabSize}u) { keys[row * ${vocabSize}u + first + i] = own[i]; }
    if (own[i] > best.x) { best = vec2u(own[i], first + i); }
  }
  let leader = leaderOf(vec4u(best, broken, greatest), lane);
  if (lane == 0u) { leaders[row * ${LANES}u + workgroup.x] = leader; }`,
  })
}

/**
 * Over all lanes: the greater key (x), the lower id of equals (y), whether any is broken (z), the greatest of the
 * model's own keys (w).
 */
export const LEADERS: string = `
var<workgroup> candidates: array<vec4u, ${LANES}>;
fn leaderOf(mine: vec4u, lane: u32) -> vec4u {
  candidates[lane] = mine;
  workgroupBarrier();
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) {
      let a = candidates[lane];
      let b = candidates[lane + step];
      let better = select(a.xy, b.xy, b.x > a.x || (b.x == a.x && b.y < a.y));
      candidates[lane] = vec4u(better, a.z | b.z, max(a.w, b.w));
    }
    workgroupBarrier();
  }
  let best = candidates[0];
  workgroupBarrier();
  return best;
}
`

/** The same over the chunks of a row. */
export function rowLeader({ chunks }: ChoiceLayout): string {
  return `${LEADERS}
fn leaderOfRow(row: u32, lane: u32) -> vec4u {
  var leader = vec4u();
  if (lane < ${chunks}u) { leader = leaders[row * ${LANES}u + lane]; }
  return leaderOf(leader, lane);
}
`
}
