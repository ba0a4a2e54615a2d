/** WGSL of the likeliest tokens by the model's own logits, for whoever asks for log-probabilities. */
import {
  ALTERNATIVE_WORDS,
  ALTERNATIVES,
  type ChoiceLayout,
  choiceFunctions,
  MOST_ALTERNATIVES,
  RESULT_WORDS,
} from './choices.ts'
import { LOGIT_KEYS } from './fixed-point.ts'
import { LOGIT_ROWS } from './job.ts'
import { type Kernel, kernel, read, readWrite } from './kernel.ts'
import { LANES, LEADERS } from './sampling.ts'

/** The likeliest of each chunk, in order. One workgroup a chunk and row. */
export function listChunks(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunk, chunks } = layout
  return kernel({
    name: 'likeliest of a chunk',
    bindings: {
      choices: read('array<u32>'),
      logits: read('array<u32>'),
      likeliest: readWrite('array<vec2u>'),
    },
    workgroupSize: LANES,
    declarations: `${choiceFunctions(layout)}${LOGIT_KEYS}${LEADERS}`,
    body: `
  let row = workgroup.y;
  if ((flagsOf(row) & ${ALTERNATIVES}u) == 0u) { return; }
  let first = workgroup.x * ${chunk}u;
  let end = min(first + ${chunk}u, ${vocabSize}u);
  var last = vec2u(0xffffffffu, 0u);
  for (var n = 0u; n < alternativesOf(row); n++) {
    var mine = vec2u();
    for (var id = first + lane; id < end; id += ${LANES}u) {
      let key = keyOf(logits[row * ${vocabSize}u + id]);
      let follows = key < last.x || (key == last.x && id > last.y);
      if (follows && key > mine.x) { mine = vec2u(key, id); }
    }
    last = leaderOf(vec4u(mine, 0u, 0u), lane).xy;
    if (lane == 0u) { likeliest[(row * ${chunks}u + workgroup.x) * ${MOST_ALTERNATIVES}u + n] = last; }
  }`,
  })
}

/** The likeliest of all: each lane goes along the list of one chunk. One workgroup a row. */
export function mergeLists(layout: ChoiceLayout): Kernel {
  const { vocabSize, chunks, chunk } = layout
  return kernel({
    name: 'likeliest of all',
    bindings: {
      choices: read('array<u32>'),
      logits: read('array<u32>'),
      likeliest: read('array<vec2u>'),
      results: readWrite('array<u32>'),
    },
    workgroupSize: LANES,
    declarations: `${choiceFunctions(layout)}${LEADERS}`,
    body: `
  let row = workgroup.x;
  let first = ${LOGIT_ROWS * RESULT_WORDS}u + row * ${ALTERNATIVE_WORDS}u;
  if ((flagsOf(row) & ${ALTERNATIVES}u) == 0u) { return; }
  var next = 0u;
  for (var n = 0u; n < alternativesOf(row); n++) {
    var mine = vec2u();
    if (lane < ${chunks}u && next < ${MOST_ALTERNATIVES}u) { mine = likeliest[(row * ${chunks}u + lane) * ${MOST_ALTERNATIVES}u + next]; }
    let best = leaderOf(vec4u(mine, 0u, 0u), lane);
    if (best.y / ${chunk}u == lane) { next++; }
    if (lane == 0u) {
      results[first + 2u * n] = best.y;
      results[first + 2u * n + 1u] = logits[row * ${vocabSize}u + best.y];
    }
  }`,
  })
}
