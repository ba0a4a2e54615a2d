/** Whether preferences say what people prefer, or only who wrote an answer, where it stood, or how long it is. */
import { FacetError } from '../../errors.ts'
import { shareInterval } from '../../eval/intervals.ts'
import { toCount, toNumberText } from '../../eval/text.ts'
import type { Judged } from './judged.ts'

/** Shares above are worth a word: a model that learns nothing else is right as often. */
const LEANING = 0.9

/**
 * @returns what leans that way without being all of it, in sentences
 * @throws FacetError invalid_request: one model, or one place, always wins
 */
export function checkSides(judged: readonly Judged[], allowed: boolean): string[] {
  const decided = judged.filter(({ winner }) => winner !== 'tie')
  const warnings: string[] = []
  const check = (wins: number, count: number, always: string, advice: string): void => {
    if (count < 2) return
    const said = `${always} in ${wins === count ? 'all' : `${wins} of`} ${count} decided pairs`
    if (wins === count && !allowed)
      throw new FacetError('invalid_request', `${said}: ${advice}.`, { field: 'files' })
    // The interval's lower end: few pairs lean by chance.
    if (wins === count || shareInterval(wins, count)[0] > LEANING) warnings.push(`${said}.`)
  }

  const named = decided.flatMap(({ players, winner }) =>
    players && winner !== 'tie' ? [players[winner]] : [],
  )
  const [best, wins] = mostOf(named)
  check(
    wins,
    named.length,
    `${best} wins`,
    'a reward model would learn to tell who wrote an answer; add pairs that others win, or pass --one-sided',
  )
  const placed = judged.flatMap(({ verdicts }) => verdicts).filter(({ winner }) => winner !== 'tie')
  const first = placed.filter((verdict) => verdict.first === verdict.winner).length
  const [place, often] = first * 2 >= placed.length ? ['first', first] : ['second', placed.length - first]
  check(
    often,
    placed.length,
    `The answer shown ${place} wins`,
    'whoever judged went by its place; have the pairs judged in both orders, or pass --one-sided',
  )

  const lengths = decided.filter(({ a, b }) => a.length !== b.length)
  const longer = lengths.filter(({ a, b, winner }) => a.length > b.length === (winner === 'a')).length
  if (lengths.length > 0 && shareInterval(longer, lengths.length)[0] > 0.5) {
    const share = toNumberText(longer / lengths.length, 'share')
    warnings.push(
      `The longer answer wins ${share}% of ${toCount(lengths.length, 'pair')}: a reward model may learn to like length; see its length bias.`,
    )
  }
  return warnings
}

function mostOf(names: readonly string[]): [name: string, count: number] {
  const counts = [...Map.groupBy(names, (name) => name)].map(([name, all]): [string, number] => [
    name,
    all.length,
  ])
  return counts.toSorted((one, other) => other[1] - one[1])[0] ?? ['', 0]
}
