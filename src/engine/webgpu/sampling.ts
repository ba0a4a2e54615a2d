/**
 * WGSL of choosing tokens: from logits to ids, as choose.ts does it, without the vocabulary leaving the GPU.
 *
 * Nothing is sorted. Top-k and top-p each end at one logit, found digit by digit: a pass adds up, for each value
 * of the next eight bits, how many tokens (or how much probability) have it. Of tokens with just that logit
 * ("ties") the first few by id are kept. All sums are integers, so that they come out the same in any order.
 */
import {
  CHOSEN,
  type ChoiceLayout,
  choiceFunctions,
  DRAWN,
  MASKED,
  MEASURED,
  RESULT_WORDS,
  TOP_K,
  TOP_P,
} from './choices.ts'
import { LOGIT_KEYS, WIDE } from './fixed-point.ts'
import { type Kernel, kernel, read, readWrite, uniform } from './kernel.ts'

export const LANES = 256
/** Digits of a logit, for top-k and then for top-p. */
export const PASSES = 8
const BINS = 256

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
var<workgroup> broken: array<u32, ${LANES}>;
var<workgroup> greatest: array<u32, ${LANES}>;
${LEADERS}`,
    body: `
  let row = workgroup.y;
  let flags = flagsOf(row);
  if ((flags & ${CHOSEN}u) == 0u) { return; }
  for (var i = workgroup.x * ${LANES}u + lane; i < ${ROW_WORDS.histograms}u; i += ${chunks * LANES}u) { histograms[row * ${ROW_WORDS.histograms}u + i] = 0u; }
  let first = workgroup.x * ${chunk}u;
  broken[lane] = 0u;
  greatest[lane] = 0u;
  for (var i = lane; i < ${chunk}u; i += ${LANES}u) {
    var key = 0u;
    let id = first + i;
    if (id < ${vocabSize}u) {
      let bits = logits[row * ${vocabSize}u + id];
      key = keyOf(bits);
      greatest[lane] = max(greatest[lane], key);
      if ((flags & ${MASKED}u) != 0u && !isAllowed(row, id)) { key = 0u; }
      else if (!isNumber(bits)) { broken[lane] = 1u; }
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
  best = leaderOf(best, lane);
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) { broken[lane] |= broken[lane + step]; greatest[lane] = max(greatest[lane], greatest[lane + step]); }
    workgroupBarrier();
  }
  if (lane == 0u) { leaders[row * ${LANES}u + workgroup.x] = vec4u(best, broken[0], greatest[0]); }`,
  })
}

/** One digit of one cut. One workgroup a chunk and row. */
export function narrow(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunk, chunks } = layout
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
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${WIDE}${GREATEST}${CUTS}
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
  let greatest = logitOf(greatestOf(row, ${chunks}u, lane));
  let temperature = temperatureOf(row);
  atomicStore(&bins[2u * lane], 0u);
  atomicStore(&bins[2u * lane + 1u], 0u);
  if (digit == 0u) {
    if (lane == 0u) { cut = Cut(0u, vec2u(topKOf(row), 0u), 0u, 0u); }
  } else if (digit == 4u) {
    if ((flags & ${TOP_K}u) != 0u) { settle(row, 3u, 0u, lane); }
    else if (lane == 0u) { cut = Cut(); }
    workgroupBarrier();
    if (lane == 0u) { cut = Cut(0u, vec2u(), cut.digits, cut.missing.x); }
  } else {
    settle(row, digit - 1u, topPOf(row), lane);
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
  const { vocabSize, chunk, chunks } = layout
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
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${WIDE}${GREATEST}${CUTS}
var<workgroup> kept: array<vec2u, ${LANES}>;
var<workgroup> all: array<vec2u, ${LANES}>;
var<workgroup> ties: array<u32, ${LANES}>;`,
    body: `
  let row = workgroup.y;
  let flags = flagsOf(row);
  if ((flags & ${DRAWN | MEASURED}u) == 0u) { return; }
  let greatest = logitOf(greatestOf(row, ${chunks}u, lane));
  let ownGreatest = logitOf(ownGreatestOf(row, ${chunks}u, lane));
  let temperature = temperatureOf(row);
  let minP = minPOf(row);
  if ((flags & ${TOP_P}u) != 0u) { settle(row, 7u, topPOf(row), lane); }
  else if ((flags & ${TOP_K}u) != 0u) { settle(row, 3u, 0u, lane); }
  else if (lane == 0u) { cut = Cut(); }
  workgroupBarrier();
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

/** The token. One workgroup a row. */
export function pick(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunk, chunks } = layout
  const share = chunk / LANES
  return kernel({
    name: 'choice of a token',
    bindings: {
      choices: read('array<u32>'),
      logits: read('array<f32>'),
      keys: read('array<u32>'),
      leaders: read('array<vec4u>'),
      cuts: read('array<u32>'),
      masses: read('array<vec4u>'),
      results: readWrite('array<u32>'),
    },
    workgroupSize: LANES,
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${WIDE}${LEADERS}${GREATEST}
var<workgroup> sums: array<vec2u, ${LANES}>;
var<workgroup> counts: array<u32, ${LANES}>;
var<workgroup> broken: array<u32, ${LANES}>;
// What lies in lanes before this one and what in all; every lane takes part.
fn scan(mass: vec2u, lane: u32) -> vec2u {
  sums[lane] = mass;
  workgroupBarrier();
  for (var step = 1u; step < ${LANES}u; step <<= 1u) {
    var other = vec2u();
    if (lane >= step) { other = sums[lane - step]; }
    workgroupBarrier();
    sums[lane] = plus(sums[lane], other);
    workgroupBarrier();
  }
  return minus(sums[lane], mass);
}
fn scanCounts(value: u32, lane: u32) -> u32 {
  counts[lane] = value;
  workgroupBarrier();
  for (var step = 1u; step < ${LANES}u; step <<= 1u) {
    var other = 0u;
    if (lane >= step) { other = counts[lane - step]; }
    workgroupBarrier();
    counts[lane] += other;
    workgroupBarrier();
  }
  return counts[lane] - value;
}
struct Place { chunk: u32, goal: vec2u, ties: u32 }
var<workgroup> place: Place;
var<workgroup> found: u32;`,
    body: `
  let row = workgroup.x;
  let flags = flagsOf(row);
  if ((flags & ${CHOSEN}u) == 0u) { return; }
  var leader = vec4u();
  if (lane < ${chunks}u) { leader = leaders[row * ${LANES}u + lane]; }
  let best = leaderOf(leader.xy, lane);
  broken[lane] = leader.z;
  if (lane == 0u) { found = best.y; }
  workgroupBarrier();
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) { broken[lane] |= broken[lane + step]; }
    workgroupBarrier();
  }
  let ownGreatest = ownGreatestOf(row, ${chunks}u, lane);
  var mass = vec4u();
  var whole = vec2u();
  if (lane < ${chunks}u && (flags & ${DRAWN | MEASURED}u) != 0u) {
    mass = masses[(row * ${LANES}u + lane) * 2u];
    whole = masses[(row * ${LANES}u + lane) * 2u + 1u].xy;
  }
  scan(whole, lane);
  whole = sums[${LANES - 1}];
  workgroupBarrier();
  if ((flags & ${DRAWN}u) != 0u) {
    let greatest = logitOf(best.x);
    let temperature = temperatureOf(row);
    let minP = minPOf(row);
    let border = cuts[row * ${ROW_WORDS.cuts}u + ${PASSES * 8}u];
    let most = cuts[row * ${ROW_WORDS.cuts}u + ${PASSES * 8 + 1}u];
    let tieWeight = weightOf(border, greatest, temperature);
    let one = select(vec2u(), wide(tieWeight), tieWeight >= minP);
    let tiesBefore = scanCounts(mass.z, lane);
    let tiesKept = min(mass.z, most - min(most, tiesBefore));
    let kept = plus(mass.xy, times(one, tiesKept));
    let before = scan(kept, lane);
    let goal = share(sums[${LANES - 1}], uniformOf(row));
    if (!isLess(goal, before) && isLess(minus(goal, before), kept)) {
      place = Place(lane, minus(goal, before), tiesKept);
    }
    workgroupBarrier();
    let first = place.chunk * ${chunk}u + lane * ${share}u;
    var same = 0u;
    for (var i = 0u; i < ${share}u; i++) {
      if (first + i < ${vocabSize}u && keys[row * ${vocabSize}u + first + i] == border) { same++; }
    }
    let sameBefore = scanCounts(same, lane);
    var ownMass = vec2u();
    var left = place.ties - min(place.ties, sameBefore);
    for (var i = 0u; i < ${share}u; i++) { ${tokenMass(vocabSize)} ownMass = plus(ownMass, token); }
    var until = scan(ownMass, lane);
    left = place.ties - min(place.ties, sameBefore);
    for (var i = 0u; i < ${share}u; i++) {
      ${tokenMass(vocabSize)}
      if (!isLess(place.goal, until) && isLess(minus(place.goal, until), token)) { found = first + i; }
      until = plus(until, token);
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let at = row * ${RESULT_WORDS}u;
    let isBroken = best.x == INFINITE || (broken[0] != 0u && (best.x == 0u || (flags & ${DRAWN | MEASURED}u) != 0u));
    results[at] = found;
    results[at + 1u] = select(select(0u, 1u, best.x == 0u), 2u, isBroken);
    results[at + 2u] = bitcast<u32>(logits[row * ${vocabSize}u + found]);
    results[at + 3u] = bitcast<u32>(logitOf(ownGreatest));
    results[at + 4u] = whole.x;
    results[at + 5u] = whole.y;
  }`,
  })
}

/** \`token\`: what token first + i weighs, once the cuts and min-p are through with it; \`left\` ties may be kept. */
function tokenMass(vocabSize: number): string {
  return `var token = vec2u();
      if (first + i < ${vocabSize}u) {
        let key = keys[row * ${vocabSize}u + first + i];
        if (key > border) {
          let weight = weightOf(key, greatest, temperature);
          if (weight >= minP) { token = wide(weight); }
        } else if (key == border && left > 0u) { left--; token = one; }
      }`
}

/** The greater key, the lower id of equals, over all lanes. */
export const LEADERS: string = `
var<workgroup> candidates: array<vec2u, ${LANES}>;
fn leaderOf(mine: vec2u, lane: u32) -> vec2u {
  candidates[lane] = mine;
  workgroupBarrier();
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) {
      let a = candidates[lane];
      let b = candidates[lane + step];
      candidates[lane] = select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
    }
    workgroupBarrier();
  }
  let best = candidates[0];
  workgroupBarrier();
  return best;
}
`

/** The greatest of a row, and the greatest by the model's own logits; every lane takes part. */
const GREATEST = `
var<workgroup> greatestKeys: array<u32, ${LANES}>;
fn greatestKey(mine: u32, lane: u32) -> u32 {
  greatestKeys[lane] = mine;
  workgroupBarrier();
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) { greatestKeys[lane] = max(greatestKeys[lane], greatestKeys[lane + step]); }
    workgroupBarrier();
  }
  let key = greatestKeys[0];
  workgroupBarrier();
  return key;
}
fn greatestOf(row: u32, chunks: u32, lane: u32) -> u32 {
  return greatestKey(select(0u, leaders[row * ${LANES}u + lane].x, lane < chunks), lane);
}
fn ownGreatestOf(row: u32, chunks: u32, lane: u32) -> u32 {
  return greatestKey(select(0u, leaders[row * ${LANES}u + lane].w, lane < chunks), lane);
}
`

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
