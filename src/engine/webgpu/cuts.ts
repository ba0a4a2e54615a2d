/** WGSL of top-k, top-p and min-p: where they cut, and how much weight they leave. */
import { type ChoiceLayout, choiceFunctions, DRAWN, MEASURED, TOP_K, TOP_P } from './choices.ts'
import { LOGIT_KEYS, WIDE } from './fixed-point.ts'
import { type Kernel, kernel, read, readWrite, uniform } from './kernel.ts'
import { BINS, LANES, PASSES, ROW_WORDS, rowLeader } from './sampling.ts'

/** One digit of one cut. One workgroup a chunk and row. */
export function narrow(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunk } = layout
  return kernel({
    name: 'top-k and top-p',
    bindings: {
      turn: uniform('vec4u'),
      choices: read('array<u32>'),
      keys: read('array<u32>'),
      leaders: read('array<vec4u>'),
      histograms: readWrite('array<atomic<u32>>'),
      cuts: readWrite('array<u32>'),
    },
    workgroupSize: LANES,
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${WIDE}${rowLeader(layout)}${CUTS}
var<workgroup> bins: array<atomic<u32>, ${2 * BINS}>;
fn count(bin: u32, value: vec2u) {
  let before = atomicAdd(&bins[2u * bin], value.x);
  atomicAdd(&bins[2u * bin + 1u], value.y + select(0u, 1u, before + value.x < before));
}`,
    body: `
  let row = workgroup.y;
  let digit = turn.x;
  let weighs = digit >= 4u;
  let flags = flagsOf(row);
  if ((flags & select(${TOP_K}u, ${TOP_P}u, weighs)) == 0u) { return; }
  let greatest = logitOf(leaderOfRow(row, lane).x);
  let temperature = temperatureOf(row);
  atomicStore(&bins[2u * lane], 0u);
  atomicStore(&bins[2u * lane + 1u], 0u);
  settle(row, max(digit, 1u) - 1u, topPOf(row), lane);
  if (lane == 0u && digit == 0u) { cut = Cut(0u, vec2u(topKOf(row), 0u), 0u, 0u); }
  if (lane == 0u && digit == 4u) {
    if ((flags & ${TOP_K}u) != 0u) { cut = Cut(0u, vec2u(), cut.digits, cut.missing.x); } else { cut = Cut(); }
  }
  workgroupBarrier();
  if (workgroup.x == 0u && lane == 0u) { storeCut(row, digit); }
  let shift = 24u - 8u * (digit & 3u);
  let known = 0xffffff00u << shift;
  let origin = row * ${vocabSize}u;
  let first = workgroup.x * ${chunk}u;
  let end = min(first + ${chunk}u, ${vocabSize}u);
  for (var id = first + lane; id < end; id += ${LANES}u) {
    let key = keys[origin + id];
    if (((key ^ cut.digits) & known) != 0u) { continue; }
    if (!weighs) { count((key >> shift) & 255u, vec2u(1u, 0u)); }
    else if (key > cut.floor) { count((key >> shift) & 255u, wide(weightOf(key, greatest, temperature))); }
  }
  if (weighs && workgroup.x == 0u && lane == 0u && ((cut.floor ^ cut.digits) & known) == 0u) {
    count((cut.floor >> shift) & 255u, times(wide(weightOf(cut.floor, greatest, temperature)), cut.ties));
  }
  workgroupBarrier();
  let low = atomicLoad(&bins[2u * lane]);
  let high = atomicLoad(&bins[2u * lane + 1u]);
  if ((low | high) == 0u) { return; }
  let at = (row * ${PASSES}u + digit) * ${2 * BINS}u + 2u * lane;
  let before = atomicAdd(&histograms[at], low);
  atomicAdd(&histograms[at + 1u], high + select(0u, 1u, before + low < before));`,
  })
}

/** Of each chunk, how much weight is left by the cuts and by min-p. One workgroup a chunk and row. */
export function weigh(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunk } = layout
  return kernel({
    name: 'weights of tokens',
    bindings: {
      choices: read('array<u32>'),
      logits: read('array<u32>'),
      keys: read('array<u32>'),
      leaders: read('array<vec4u>'),
      histograms: readWrite('array<atomic<u32>>'),
      cuts: readWrite('array<u32>'),
      masses: readWrite('array<vec4u>'),
    },
    workgroupSize: LANES,
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${WIDE}${rowLeader(layout)}${CUTS}
var<workgroup> kept: array<vec2u, ${LANES}>;
var<workgroup> all: array<vec2u, ${LANES}>;
var<workgroup> ties: array<u32, ${LANES}>;`,
    body: `
  let row = workgroup.y;
  let flags = flagsOf(row);
  if ((flags & ${DRAWN | MEASURED}u) == 0u) { return; }
  let leader = leaderOfRow(row, lane);
  let greatest = logitOf(leader.x);
  let ownGreatest = logitOf(leader.w);
  let temperature = temperatureOf(row);
  let minP = minPOf(row);
  settle(row, select(3u, 7u, (flags & ${TOP_P}u) != 0u), topPOf(row), lane);
  if (lane == 0u && (flags & ${TOP_K | TOP_P}u) == 0u) { cut = Cut(); }
  if (lane == 0u && (flags & ${TOP_P}u) != 0u) {
    // The fewest ties that reach what is missing.
    let one = wide(weightOf(cut.digits, greatest, temperature));
    var fewest = 1u;
    for (var most = ${vocabSize}u; fewest < most; ) {
      let middle = (fewest + most) / 2u;
      if (isLess(times(one, middle), cut.missing)) { fewest = middle + 1u; } else { most = middle; }
    }
    cut.missing.x = select(fewest, min(fewest, cut.ties), cut.digits == cut.floor && (flags & ${TOP_K}u) != 0u);
  }
  workgroupBarrier();
  if (workgroup.x == 0u && lane == 0u) { storeCut(row, ${PASSES}u); }
  var above = vec2u();
  var whole = vec2u();
  var same = 0u;
  let first = workgroup.x * ${chunk}u;
  let end = min(first + ${chunk}u, ${vocabSize}u);
  for (var id = first + lane; id < end; id += ${LANES}u) {
    let key = keys[row * ${vocabSize}u + id];
    if ((flags & ${MEASURED}u) != 0u) {
      whole = plus(whole, wide(weightOf(keyOf(logits[row * ${vocabSize}u + id]), ownGreatest, 1.0)));
    }
    if (key > cut.digits) {
      let weight = weightOf(key, greatest, temperature);
      if (weight >= minP) { above = plus(above, wide(weight)); }
    } else if (key == cut.digits) { same++; }
  }
  kept[lane] = above;
  all[lane] = whole;
  ties[lane] = same;
  workgroupBarrier();
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) {
      kept[lane] = plus(kept[lane], kept[lane + step]);
      all[lane] = plus(all[lane], all[lane + step]);
      ties[lane] += ties[lane + step];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let at = (row * ${LANES}u + workgroup.x) * 2u;
    masses[at] = vec4u(kept[0], ties[0], 0u);
    masses[at + 1u] = vec4u(all[0], 0u, 0u);
  }`,
  })
}

/** A cut on its way: digits so far, how much is missing below what lies above them, and the cut before it. */
const CUTS = `
struct Cut { digits: u32, missing: vec2u, floor: u32, ties: u32 }
var<workgroup> cut: Cut;
var<workgroup> reach: array<vec2u, ${BINS}>;
fn storeCut(row: u32, digit: u32) {
  let at = row * ${ROW_WORDS.cuts}u + digit * 8u;
  cuts[at] = cut.digits;
  cuts[at + 1u] = cut.missing.x;
  cuts[at + 2u] = cut.missing.y;
  cuts[at + 3u] = cut.floor;
  cuts[at + 4u] = cut.ties;
}
// The cut once this digit is known too; the first of top-p learns from its sums how much is all.
fn settle(row: u32, digit: u32, part: u32, lane: u32) {
  let bin = (row * ${PASSES}u + digit) * ${2 * BINS}u + 2u * lane;
  let own = vec2u(atomicLoad(&histograms[bin]), atomicLoad(&histograms[bin + 1u]));
  reach[lane] = own;
  workgroupBarrier();
  for (var step = 1u; step < ${BINS}u; step <<= 1u) {
    var other = vec2u();
    if (lane + step < ${BINS}u) { other = reach[lane + step]; }
    workgroupBarrier();
    reach[lane] = plus(reach[lane], other);
    workgroupBarrier();
  }
  let at = row * ${ROW_WORDS.cuts}u + digit * 8u;
  var missing = vec2u(cuts[at + 1u], cuts[at + 2u]);
  if (digit == 4u) {
    missing = share(reach[0], part);
    missing.x |= select(0u, 1u, missing.x == 0u && missing.y == 0u);
  }
  let above = minus(reach[lane], own);
  if (isLess(above, missing) && !isLess(reach[lane], missing)) {
    cut = Cut(cuts[at] | (lane << (24u - 8u * (digit & 3u))), minus(missing, above), cuts[at + 3u], cuts[at + 4u]);
  }
  workgroupBarrier();
}
`
