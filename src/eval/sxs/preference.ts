/** What many verdicts on pairs say: wins, ties and losses, and how far judges agree with each other and themselves. */
import { type Interval, Z } from '../intervals.ts'

export type Winner = 'a' | 'b' | 'tie'

export interface Preference {
  readonly wins: number
  readonly ties: number
  readonly losses: number
  readonly count: number
  /** Share of A's wins, each tie counted as half a win; null: there is nothing to take it of. */
  readonly rate: number | null
  /** Of the rate, 95%. */
  readonly interval: Interval
}

/** Of independent prompts, from A's side. */
export function preferenceOf(winners: readonly Winner[]): Preference {
  const count = winners.length
  const wins = winners.filter((winner) => winner === 'a').length
  const losses = winners.filter((winner) => winner === 'b').length
  const { rate, interval } = leaningOf(winners.map(signOf))
  return { wins, ties: count - wins - losses, losses, count, rate, interval }
}

/**
 * Where independent values from -1 (second) to 1 (first) lean, as a share of the first with ties split evenly.
 * The interval is that of a difference of matched proportions with one win, tie and loss more shared out between
 * them (Agresti and Min 2005): it stays honest for few prompts, and where all say the same.
 */
export function leaningOf(values: readonly number[]): Pick<Preference, 'rate' | 'interval'> {
  const { length } = values
  if (length === 0) return { rate: null, interval: [0, 1] }
  const sum = values.reduce((total, value) => total + value, 0)
  const squares = values.reduce((total, value) => total + value ** 2, 0)
  // Half an observation at either end, and one in the middle.
  const count = length + 2
  const middle = sum / count
  const half = Z * Math.sqrt(((squares + 1) / count - middle ** 2) / count)
  const toShare = (value: number): number => Math.min(1, Math.max(0, (1 + value) / 2))
  return { rate: toShare(sum / length), interval: [toShare(middle - half), toShare(middle + half)] }
}

/** Who wins by most verdicts on one prompt; undefined: there is none. */
export function winnerOf(verdicts: readonly Winner[]): Winner | undefined {
  if (verdicts.length === 0) return undefined
  const sum = verdicts.reduce((total, verdict) => total + signOf(verdict), 0)
  if (sum === 0) return 'tie'
  return sum > 0 ? 'a' : 'b'
}

export function signOf(winner: Winner): -1 | 0 | 1 {
  if (winner === 'tie') return 0
  return winner === 'a' ? 1 : -1
}

/**
 * Cohen's kappa (1960) of two judges' labels of the same things: 1 is agreement, 0 what chance gives.
 *
 * @returns null where chance alone would agree always, or there is nothing
 */
export function kappaOf(pairs: readonly (readonly [string, string])[]): number | null {
  const count = pairs.length
  const labels = new Set(pairs.flat())
  const observed = pairs.filter(([one, other]) => one === other).length / count
  const expected = [...labels].reduce((total, label) => {
    const shares = [0, 1].map((side) => pairs.filter((pair) => pair[side] === label).length / count)
    return total + shares[0]! * shares[1]!
  }, 0)
  return count === 0 || expected === 1 ? null : (observed - expected) / (1 - expected)
}

/**
 * Krippendorff's alpha for labels (2011): agreement of any number of raters, each of whom may have left things out.
 *
 * @param units the labels of each thing
 * @returns null where no two raters share a thing, or all labels are the same
 */
export function alphaOf(units: readonly (readonly string[])[]): number | null {
  const totals = new Map<string, number>()
  let differing = 0
  for (const labels of units.filter(({ length }) => length > 1)) {
    const counts = new Map<string, number>()
    for (const label of labels) {
      counts.set(label, (counts.get(label) ?? 0) + 1)
      totals.set(label, (totals.get(label) ?? 0) + 1)
    }
    for (const count of counts.values()) differing += (count * (labels.length - count)) / (labels.length - 1)
  }
  const values = [...totals.values()]
  const all = values.reduce((total, value) => total + value, 0)
  const expected = values.reduce((total, value) => total + value * (all - value), 0) / (all - 1)
  return values.length < 2 ? null : 1 - differing / expected
}
