/** A prompt with two answers and which of them was preferred: what reward models and ratings are made from. */
import type { Side } from '../../eval/sxs/pair.ts'
import type { Winner } from '../../eval/sxs/preference.ts'
import type { Comparison } from './comparisons.ts'

export interface PromptTurn {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface Judged {
  /** Where it stands, for people: `pairs.jsonl, line 3`. */
  readonly place: string
  /** Ends with what the user asks. */
  readonly prompt: readonly PromptTurn[]
  readonly a: string
  readonly b: string
  readonly winner: Winner
  /** Who wrote the answers. Left out where a and b stand for no sides, but for chosen and rejected. */
  readonly players?: Readonly<Record<Side, string>>
  /** Each verdict that is behind the winner, with whose answer was shown first. Empty: not known. */
  readonly verdicts: readonly { readonly first: Side; readonly winner: Winner }[]
  /** How much better the preferred answer is, on whatever scale the reward is to have. */
  readonly margin?: number
}

/** For ratings; undefined where nobody knows who wrote the answers. */
export function toComparison({ players, winner }: Judged): Comparison | undefined {
  return players && { ...players, winner }
}
