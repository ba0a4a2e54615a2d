/** What two models say of the same next tokens, gathered while their heads pass by in pieces. */
import type { GemmaConfig } from '../gemma/config.ts'
import { softcap } from './layer.ts'
import { multiply } from './matmul.ts'

/** One model's running softmax of one token: sum of exp(logit - most). */
interface Running {
  readonly most: Float64Array
  readonly sum: Float64Array
  /** The logit of the token that comes next. */
  readonly target: Float64Array
  readonly best: Int32Array
}

/** KL divergence, perplexity and agreement of model b with model a, never holding a whole row of logits. */
export class Likelihoods {
  readonly #targets: readonly number[]
  readonly #a: Running
  readonly #b: Running
  /** Sum of exp(a - most a) (a - b) over the vocabulary so far. */
  readonly #difference: Float64Array

  /** @param targets the id that follows each token, or -1 */
  constructor(targets: readonly number[]) {
    this.#targets = targets
    this.#a = running(targets.length)
    this.#b = running(targets.length)
    this.#difference = new Float64Array(targets.length)
  }

  /**
   * Takes the logits of ids from `first` on.
   *
   * @param a of model a (n, m), as b of model b; see toLogits
   */
  add(a: Float32Array, b: Float32Array, first: number): void {
    const count = a.length / this.#targets.length
    for (const [token, target] of this.#targets.entries()) {
      for (let i = 0; i < count; i++) {
        const p = a[token * count + i]!
        const q = b[token * count + i]!
        const shrink = include(this.#a, token, p, first + i)
        include(this.#b, token, q, first + i)
        if (shrink !== 1) this.#difference[token]! *= shrink
        this.#difference[token]! += Math.exp(p - this.#a.most[token]!) * (p - q)
        if (first + i === target) {
          this.#a.target[token] = p
          this.#b.target[token] = q
        }
      }
    }
  }

  /** Once the whole vocabulary has been added. */
  summary(): {
    readonly kl: number
    readonly perplexity: number
    readonly modelPerplexity: number
    readonly sameToken: number
  } {
    const known = this.#targets.flatMap((target, token) => (target < 0 ? [] : [token]))
    const tokens = [...this.#targets.keys()]
    const kl = mean(tokens, (token) => {
      const expected = this.#difference[token]! / this.#a.sum[token]!
      return expected - logSum(this.#a, token) + logSum(this.#b, token)
    })
    return {
      // Sums of the same numbers in another order may fall below zero by what they round.
      kl: kl < 0 && kl > -1e-6 ? 0 : kl,
      perplexity: Math.exp(mean(known, (token) => logSum(this.#a, token) - this.#a.target[token]!)),
      modelPerplexity: Math.exp(mean(known, (token) => logSum(this.#b, token) - this.#b.target[token]!)),
      sameToken: mean(tokens, (token) => (this.#a.best[token] === this.#b.best[token] ? 1 : 0)),
    }
  }
}

/** Normed hidden states (n, d) times rows (m, d) of a head -> (n, m). */
export function toLogits(
  { hiddenSize, logitSoftcap }: GemmaConfig,
  states: Float32Array,
  rows: Float32Array,
): Float32Array {
  const logits = multiply(states, rows, hiddenSize)
  if (logitSoftcap === undefined) return logits
  return logits.map((logit) => softcap(logit, logitSoftcap))
}

/** The id that follows each token of sequences; of the last one of each nobody knows it, and it is -1. */
export function nextIds(sequences: readonly (readonly number[])[]): number[] {
  return sequences.flatMap((sequence) => [...sequence.slice(1), -1])
}

/** Places of at most so many of `count` tokens, from the first on, equally far apart. */
export function placesAmong(count: number, most: number): number[] {
  const step = Math.ceil(count / most)
  return Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step)
}

/** Rows of x (n, width) at these places. */
export function rowsAt(x: Float32Array, places: readonly number[], width: number): Float32Array {
  const rows = new Float32Array(places.length * width)
  for (const [index, place] of places.entries()) {
    rows.set(x.subarray(place * width, (place + 1) * width), index * width)
  }
  return rows
}

function running(count: number): Running {
  return {
    most: new Float64Array(count).fill(Number.NEGATIVE_INFINITY),
    sum: new Float64Array(count),
    target: new Float64Array(count).fill(Number.NaN),
    best: new Int32Array(count),
  }
}

/** Returns what earlier sums have to be multiplied with, as they are relative to the largest logit. */
function include({ most, sum, best }: Running, token: number, logit: number, id: number): number {
  const before = most[token]!
  if (logit <= before) {
    sum[token]! += Math.exp(logit - before)
    return 1
  }
  const shrink = Math.exp(before - logit)
  most[token] = logit
  sum[token] = sum[token]! * shrink + 1
  best[token] = id
  return shrink
}

function logSum({ most, sum }: Running, token: number): number {
  return most[token]! + Math.log(sum[token]!)
}

function mean(tokens: readonly number[], value: (token: number) => number): number {
  return tokens.reduce((sum, token) => sum + value(token), 0) / tokens.length
}
