/** Which of a step's tokens are computed together. */
import { type CheckedSlice, cutIntoPasses, type Part as Piece } from '../batch.ts'
import type { Choice } from '../choice.ts'
import type { SampledSlice } from '../graph.ts'
import type { PagedKvCache } from '../paged-cache.ts'
import { FEW, MANY } from './job.ts'

export type PagedSlice = SampledSlice & CheckedSlice<PagedKvCache>

/** Tokens of one slice that go into one pass. */
export interface Part extends Omit<Piece<PagedSlice>, 'source' | 'last'> {
  /** Which slice this is of. */
  readonly slice: number
  /** Of the slice, in the part that has its last token. */
  readonly choice: Choice | undefined
}

export interface Pass {
  /** One token of each sequence; otherwise pieces of prompts. */
  readonly few: boolean
  readonly parts: readonly Part[]
}

/**
 * Single tokens and longer slices go into passes of their own, so that a token's arithmetic does not depend on
 * what else is in the step.
 */
export function passesOf(slices: readonly PagedSlice[]): Pass[] {
  const numbers = new Map(slices.map((slice, number) => [slice, number]))
  const passes = (some: readonly PagedSlice[], most: number, few: boolean): Pass[] =>
    cutIntoPasses(some, most).map((pieces) => ({
      few,
      parts: pieces.map(({ source, last, ...piece }) => ({
        ...piece,
        slice: numbers.get(source)!,
        choice: last ? source.choice : undefined,
      })),
    }))
  return [
    ...passes(
      slices.filter(({ tokens }) => tokens.length === 1),
      FEW,
      true,
    ),
    ...passes(
      slices.filter(({ tokens }) => tokens.length > 1),
      MANY,
      false,
    ),
  ]
}
