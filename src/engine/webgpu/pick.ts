/** WGSL of the draw: the token at which the weights so far exceed the uniform number. */
import { CHOSEN, type ChoiceLayout, choiceFunctions, DRAWN, MEASURED, RESULT_WORDS } from './choices.ts'
import { LOGIT_KEYS, WIDE } from './fixed-point.ts'
import { type Kernel, kernel, read, readWrite } from './kernel.ts'
import { LANES, PASSES, ROW_WORDS, rowLeader } from './sampling.ts'

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
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${WIDE}${rowLeader(layout)}
var<workgroup> sums: array<vec2u, ${LANES}>;
var<workgroup> counts: array<u32, ${LANES}>;
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
  let best = leaderOfRow(row, lane);
  if (lane == 0u) { found = best.y; }
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
    let isBroken = best.x == INFINITE || (best.z != 0u && (best.x == 0u || (flags & ${DRAWN | MEASURED}u) != 0u));
    results[at] = found;
    results[at + 1u] = select(select(0u, 1u, best.x == 0u), 2u, isBroken);
    results[at + 2u] = bitcast<u32>(logits[row * ${vocabSize}u + found]);
    results[at + 3u] = bitcast<u32>(logitOf(best.w));
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
