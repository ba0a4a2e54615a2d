/** What the sampling kernels are told about each row of logits, and what they answer: buffers of u32. */
import type { FacetError } from '../../errors.ts'
import type { Adjustment, Choice, Chosen } from '../choice.ts'
import { noChoice } from '../choose.ts'
import { notNumbers } from '../logprobs.ts'
import { LOGIT_ROWS } from './job.ts'

/** What a row wants; of a pass, what any of its rows wants. */
export const CHOSEN = 1
export const DRAWN = 2
export const TOP_K = 4
export const TOP_P = 8
export const MASKED = 16
export const MEASURED = 32
export const ALTERNATIVES = 64

/** Most alternatives whose log-probabilities are told. */
export const MOST_ALTERNATIVES = 20

/** Words of a row: flags, temperature, topK, topP, minP, uniform, first and number of adjustments, alternatives. */
const ROW_WORDS = 16
const ADJUSTMENT_WORDS = 4
/** In an adjustment's id: the token is removed. */
const BANNED = 0x80000000
/** Adjustments of all rows together that fit; more are left to the CPU. */
const MOST_ADJUSTMENTS = 16_384

/** Words of a row: id, status, logit, greatest logit, sum of all (low, high), two unused; then alternatives. */
export const RESULT_WORDS = 8
/** Each an id and its logit. */
export const ALTERNATIVE_WORDS: number = 2 * MOST_ALTERNATIVES
const STATUS = { none: 1, broken: 2 } as const
/** What one unit of a sum is worth: weights are fixed-point numbers, so that sums do not depend on their order. */
const UNIT_BITS = 44

/** Sizes and places, for a vocabulary. */
export interface ChoiceLayout {
  readonly vocabSize: number
  /** Tokens of a workgroup, a multiple of its 256 lanes, so that there are at most 256 chunks. */
  readonly chunk: number
  readonly chunks: number
  readonly maskWords: number
  readonly masks: number
  readonly adjustments: number
  readonly words: number
}

export function layOutChoices(vocabSize: number): ChoiceLayout {
  const chunk = 1024 * Math.ceil(vocabSize / (1024 * 256))
  const maskWords = Math.ceil(vocabSize / 32)
  const masks = LOGIT_ROWS * ROW_WORDS
  const adjustments = masks + LOGIT_ROWS * maskWords
  return {
    vocabSize,
    chunk,
    chunks: Math.ceil(vocabSize / chunk),
    maskWords,
    masks,
    adjustments,
    words: adjustments + MOST_ADJUSTMENTS * ADJUSTMENT_WORDS,
  }
}

/** WGSL of a choice's fields; expects `choices: array<u32>`. */
export function choiceFunctions({ maskWords, masks, adjustments }: ChoiceLayout): string {
  const field = (name: string, at: number): string =>
    `fn ${name}(row: u32) -> u32 { return choices[row * ${ROW_WORDS}u + ${at}u]; }`
  const float = (name: string, at: number): string =>
    `fn ${name}(row: u32) -> f32 { return bitcast<f32>(choices[row * ${ROW_WORDS}u + ${at}u]); }`
  return `
${['flagsOf', undefined, 'topKOf', 'topPOf', undefined, 'uniformOf', 'firstAdjustmentOf', 'adjustmentCountOf', 'alternativesOf'].map((name, at) => (name ? field(name, at) : '')).join('\n')}
${float('temperatureOf', 1)}
${float('minPOf', 4)}
fn isAllowed(row: u32, id: u32) -> bool { return ((choices[${masks}u + row * ${maskWords}u + (id >> 5u)] >> (id & 31u)) & 1u) == 1u; }
struct Adjustment { id: u32, banned: bool, bias: f32, penalty: f32, minus: f32 }
fn adjustmentAt(i: u32) -> Adjustment {
  let at = ${adjustments}u + i * ${ADJUSTMENT_WORDS}u;
  let id = choices[at];
  return Adjustment(id & 0x7fffffffu, id >= ${BANNED}u, bitcast<f32>(choices[at + 1u]), bitcast<f32>(choices[at + 2u]), bitcast<f32>(choices[at + 3u]));
}
`
}

/** The choices of a pass, written row by row. */
export class ChoiceWriter {
  readonly #layout: ChoiceLayout
  readonly words: Uint32Array<ArrayBuffer>
  readonly #floats: Float32Array
  #adjustments = 0
  #masked = 0

  constructor(layout: ChoiceLayout) {
    this.#layout = layout
    this.words = new Uint32Array(layout.words)
    this.#floats = new Float32Array(this.words.buffer)
  }

  /** Whether the kernels can make this choice beside those that are written. */
  fits({ adjustments, alternatives = 0 }: Choice): boolean {
    return this.#adjustments + adjustments.length <= MOST_ADJUSTMENTS && alternatives <= MOST_ALTERNATIVES
  }

  /** Words from the start that are in use. */
  get used(): number {
    const { masks, maskWords, adjustments } = this.#layout
    if (this.#adjustments > 0) return adjustments + this.#adjustments * ADJUSTMENT_WORDS
    return this.#masked > 0 ? masks + this.#masked * maskWords : masks
  }

  /** Forgets all rows. */
  clear(): void {
    this.words.fill(0, 0, this.#layout.masks)
    this.#adjustments = 0
    this.#masked = 0
  }

  /** Returns what the row wants. */
  write(row: number, choice: Choice): number {
    const { temperature, topK, topP, minP, uniform, adjustments, allowed, alternatives } = choice
    const { vocabSize, maskWords, masks } = this.#layout
    const drawn = temperature > 0
    const wants =
      CHOSEN |
      (drawn ? DRAWN : 0) |
      (drawn && topK < vocabSize ? TOP_K : 0) |
      (drawn && topP < 1 ? TOP_P : 0) |
      (allowed ? MASKED : 0) |
      (alternatives === undefined ? 0 : MEASURED) |
      (alternatives ? ALTERNATIVES : 0)
    const at = row * ROW_WORDS
    this.words.set([wants, 0, Math.min(topK, vocabSize), fraction(topP), 0, fraction(uniform)], at)
    this.words.set([this.#adjustments, adjustments.length, alternatives ?? 0], at + 6)
    this.#floats[at + 1] = temperature
    this.#floats[at + 4] = minP
    if (allowed) {
      const mask = allowed.subarray(0, maskWords)
      const start = masks + row * maskWords
      this.words.fill(0, start + mask.length, start + maskWords)
      this.words.set(mask, start)
      this.#masked = row + 1
    }
    for (const adjustment of adjustments) this.#adjust(adjustment)
    return wants
  }

  #adjust({ id, bias, penalty, minus }: Adjustment): void {
    const at = this.#layout.adjustments + this.#adjustments++ * ADJUSTMENT_WORDS
    const banned = bias === -Infinity
    this.words[at] = banned ? id + BANNED : id
    this.#floats.set([banned ? 0 : bias, penalty, minus], at + 1)
  }
}

/** Of [0, 1) as 32 bits after the point; what is more is the most that is less than 1. */
function fraction(value: number): number {
  return Math.min(Math.round(value * 2 ** 32), 2 ** 32 - 1)
}

/** @param words RESULT_WORDS for LOGIT_ROWS rows, then ALTERNATIVE_WORDS for as many */
export function readResult(words: Uint32Array, row: number, choice: Choice): Chosen | FacetError {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length)
  const at = row * RESULT_WORDS
  const { alternatives } = choice
  const status = words[at + 1]!
  if (status === STATUS.broken) return notNumbers()
  if (status === STATUS.none) return noChoice(choice, false)
  const id = words[at]!
  if (alternatives === undefined) return { id }
  const total = (words[at + 5]! * 2 ** 32 + words[at + 4]!) / 2 ** UNIT_BITS
  const logTotal = floats[at + 3]! + Math.log(total)
  if (Number.isNaN(logTotal)) return notNumbers()
  const first = LOGIT_ROWS * RESULT_WORDS + row * ALTERNATIVE_WORDS
  const top = Array.from({ length: alternatives }, (_, i) => ({
    id: words[first + 2 * i]!,
    logprob: floats[first + 2 * i + 1]! - logTotal,
  }))
  return { id, logprob: floats[at + 2]! - logTotal, ...(alternatives > 0 && { top }) }
}
