/**
 * Chooses the next token from the logits. Log-probabilities for the caller are taken before it changes them.
 *
 * Order of operations, each on what the one before left:
 * 1. logitBias is added; -100 removes the token (OpenAI: "should result in a ban")
 * 2. repetition penalty, over prompt and answer (transformers' RepetitionPenaltyLogitsProcessor)
 * 3. presence and frequency penalty, over the answer (OpenAI's formula)
 * 4. temperature 0: the most likely token, the lowest id of equals. Otherwise divide by the temperature,
 *    then top-k, top-p, min-p, each measured on what is left (the order of transformers' generate;
 *    llama.cpp by default takes the temperature last)
 * 5. draw
 */
import { FacetError } from '../errors.ts'
import type { Sampling } from '../types.ts'
import { anySeed, randomFrom } from './random.ts'
import { argmax, largest } from './select.ts'

/** Tokens are sorted into these by how far they lie below the likeliest, to find a nucleus. */
const BUCKETS = 2048
const BUCKETS_PER_NAT = 64

/** A bias of this much removes the token for good. */
const BAN = -100

export interface Sampler {
  /**
   * The next token. Changes the logits in place: take log-probabilities before.
   *
   * @param logits (vocabSize)
   * @throws FacetError internal if the model gave NaN; invalid_request if logitBias bans every token
   */
  next(logits: Float32Array): number
}

/** @param prompt the ids that a repetition penalty counts as seen */
export function createSampler(sampling: Sampling, prompt: readonly number[]): Sampler {
  const { temperature = 1, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = sampling
  const bias = Object.entries(sampling.logitBias ?? {}).map(([id, value]) => [Number(id), value] as const)
  const seen = new Set(prompt)
  const answered = new Map<number, number>()
  const random = randomFrom(sampling.seed ?? anySeed())

  const penalize = (logits: Float32Array): void => {
    for (const [id, value] of bias) logits[id] = value === BAN ? -Infinity : logits[id]! + value
    if (repetitionPenalty !== 1) {
      for (const id of seen) {
        const logit = logits[id]!
        logits[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty
      }
    }
    if (presencePenalty !== 0 || frequencyPenalty !== 0) {
      for (const [id, count] of answered) logits[id]! -= presencePenalty + count * frequencyPenalty
    }
  }

  return {
    next(logits: Float32Array): number {
      penalize(logits)
      const best = argmax(logits)
      if (best < 0 || logits[best] === Infinity) throw noChoice(logits)
      const id = temperature === 0 ? best : draw(logits, logits[best]!, sampling, temperature, random())
      seen.add(id)
      answered.set(id, (answered.get(id) ?? 0) + 1)
      return id
    },
  }
}

/** One token, by its probability among those that top-k, top-p and min-p leave. */
function draw(
  logits: Float32Array,
  max: number,
  sampling: Sampling,
  temperature: number,
  uniform: number,
): number {
  const { topK = logits.length, topP = 1, minP = 0 } = sampling
  if (topK >= logits.length) {
    const weights = toWeights(logits, max, temperature)
    if (topP < 1) keepNucleus(weights, topP)
    return pick(weights, minP, uniform)
  }
  const ids = largest(logits, topK)
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

function noChoice(logits: Float32Array): FacetError {
  return logits.every((logit) => logit === -Infinity)
    ? new FacetError('invalid_request', 'logitBias bans every token; leave at least one.', {
        field: 'logitBias',
      })
    : notNumbers()
}

function notNumbers(): FacetError {
  return new FacetError(
    'internal',
    'The model computed logits that are not numbers; its file may be damaged.',
  )
}
