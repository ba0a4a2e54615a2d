/**
 * Chooses a token from logits: what graphs that choose by themselves must agree with.
 *
 * Order of operations, each on what the one before left:
 * 1. log-probabilities for the caller are taken, of the model's own logits
 * 2. tokens that the grammar does not allow are removed
 * 3. logitBias is added; -100 removes the token (OpenAI: "should result in a ban")
 * 4. repetition penalty, over prompt and answer (transformers' RepetitionPenaltyLogitsProcessor)
 * 5. presence and frequency penalty, over the answer (OpenAI's formula)
 * 6. temperature 0: the most likely token, the lowest id of equals. Otherwise divide by the temperature,
 *    then top-k, top-p, min-p, each measured on what is left (the order of transformers' generate;
 *    llama.cpp by default takes the temperature last)
 * 7. draw: the first token, by id, at which the probabilities so far exceed the uniform number
 */
import { FacetError } from '../errors.ts'
import type { Choice, Chosen } from './choice.ts'
import { logprobOf, notNumbers } from './logprobs.ts'
import { argmax, largest } from './select.ts'

/** Tokens are sorted into these by how far they lie below the likeliest, to find a nucleus. */
const BUCKETS = 2048
const BUCKETS_PER_NAT = 64

/**
 * @param logits (vocabSize), changed in place
 * @throws FacetError internal if the model gave NaN; invalid_request if no token may be chosen
 */
export function choose(logits: Float32Array, choice: Choice): Chosen {
  const { alternatives, temperature } = choice
  const raw = alternatives === undefined ? undefined : logits.slice()
  adjust(logits, choice)
  const best = argmax(logits)
  if (best < 0 || logits[best] === Infinity) throw noChoice(choice, logits.some(Number.isNaN) || best >= 0)
  const id = temperature === 0 ? best : draw(logits, logits[best]!, choice)
  return raw ? logprobOf(raw, id, alternatives!) : { id }
}

function adjust(logits: Float32Array, { allowed, adjustments }: Choice): void {
  if (allowed) removeOthers(logits, allowed)
  for (const { id, bias, penalty, minus } of adjustments) {
    logits[id]! += bias
    const logit = logits[id]!
    logits[id] = logit > 0 ? logit / penalty : logit * penalty
    logits[id]! -= minus
  }
}

/** Whole words at once where all or none of their tokens are allowed, as is mostly the case. */
function removeOthers(logits: Float32Array, allowed: Uint32Array): void {
  for (let start = 0; start < logits.length; start += 32) {
    const bits = allowed[start >>> 5] ?? 0
    if (bits === 0xffffffff) continue
    const end = Math.min(start + 32, logits.length)
    if (bits === 0) logits.fill(-Infinity, start, end)
    else for (let id = start; id < end; id++) if ((bits & (1 << (id & 31))) === 0) logits[id] = -Infinity
  }
}

/** One token, by its probability among those that top-k, top-p and min-p leave. */
function draw(logits: Float32Array, max: number, { temperature, topK, topP, minP, uniform }: Choice): number {
  if (topK >= logits.length) {
    const weights = toWeights(logits, max, temperature)
    if (topP < 1) keepNucleus(weights, topP)
    return pick(weights, minP, uniform)
  }
  const ids = largest(logits, topK).sort()
  const weights = toWeights(
    Float32Array.from(ids, (id) => logits[id]!),
    max,
    temperature,
  )
  if (topP < 1) keepNucleus(weights, topP)
  return ids[pick(weights, minP, uniform)]!
}

/** Probabilities relative to the most likely token's. */
function toWeights(logits: Float32Array, max: number, temperature: number): Float64Array {
  const weights = new Float64Array(logits.length)
  for (let i = 0; i < logits.length; i++) weights[i] = Math.exp((logits[i]! - max) / temperature)
  return weights
}

/**
 * Sets every weight to 0 but the fewest that reach the fraction topP of all, the largest first, the
 * lowest id of equals. Only the bucket in which the nucleus ends is sorted, never the vocabulary.
 */
function keepNucleus(weights: Float64Array, topP: number): void {
  const buckets = new Uint16Array(weights.length)
  const masses = new Float64Array(BUCKETS)
  let total = 0
  for (let i = 0; i < weights.length; i++) {
    const bucket = Math.min(Math.floor(-Math.log(weights[i]!) * BUCKETS_PER_NAT), BUCKETS - 1)
    buckets[i] = bucket
    masses[bucket]! += weights[i]!
    total += weights[i]!
  }
  let missing = topP * total
  let last = 0
  while (last < BUCKETS - 1 && masses[last]! < missing) missing -= masses[last++]!
  const border: number[] = []
  for (let i = 0; i < weights.length; i++) {
    if (buckets[i]! > last) weights[i] = 0
    else if (buckets[i] === last) border.push(i)
  }
  border.sort((a, b) => weights[b]! - weights[a]! || a - b)
  for (const i of border) {
    if (missing > 0) missing -= weights[i]!
    else weights[i] = 0
  }
}

/** An index, by weight; weights under minP do not take part. */
function pick(weights: Float64Array, minP: number, uniform: number): number {
  let total = 0
  let last = 0
  for (let i = 0; i < weights.length; i++) {
    if (weights[i]! < minP) weights[i] = 0
    else if (weights[i] !== 0) {
      total += weights[i]!
      last = i
    }
  }
  if (Number.isNaN(total)) throw notNumbers()
  let left = uniform * total
  for (let i = 0; i < last; i++) {
    left -= weights[i]!
    if (left < 0) return i
  }
  return last // rounding may leave a remainder
}

/** @param broken whether there are logits that are not numbers, or infinite */
export function noChoice({ allowed }: Choice, broken: boolean): FacetError {
  if (broken) return notNumbers()
  const what = allowed ? 'logitBias and the required form of the answer leave no' : 'logitBias bans every'
  return new FacetError('invalid_request', `${what} token; leave at least one.`, { field: 'logitBias' })
}
