/** Who beat whom, counted: what ratings are fitted to. */
import { FacetError } from '../../errors.ts'

/** One comparison of two players, such as two models' answers to one prompt. */
export interface Comparison {
  readonly a: string
  readonly b: string
  readonly winner: 'a' | 'b' | 'tie'
}

/** Counts of one pair of players that met at least once. */
export interface Meeting {
  /** Indices of the players; `one` stands before `other`. */
  readonly one: number
  readonly other: number
  readonly wins: number
  readonly losses: number
  readonly ties: number
}

export interface Tally {
  /** In the order in which they were first seen. */
  readonly players: readonly string[]
  readonly meetings: readonly Meeting[]
}

/** @throws FacetError invalid_request: a player meets itself, or there are fewer than two */
export function tallyOf(comparisons: Iterable<Comparison>): Tally {
  const numbers = new Map<string, number>()
  const numberOf = (player: string): number => {
    const known = numbers.get(player) ?? numbers.size
    numbers.set(player, known)
    return known
  }
  const meetings = new Map<string, { -readonly [Field in keyof Meeting]: Meeting[Field] }>()
  for (const { a, b, winner } of comparisons) {
    const [first, second] = [numberOf(a), numberOf(b)]
    if (first === second) {
      throw new FacetError(
        'invalid_request',
        `${a} is compared with itself; a comparison needs two players, so give each its own name.`,
        { field: 'players' },
      )
    }
    const [one, other] = first < second ? [first, second] : [second, first]
    const key = `${one} ${other}`
    const meeting = meetings.get(key) ?? { one, other, wins: 0, losses: 0, ties: 0 }
    meetings.set(key, meeting)
    if (winner === 'tie') meeting.ties++
    else if ((winner === 'a' ? first : second) === one) meeting.wins++
    else meeting.losses++
  }
  if (numbers.size < 2) {
    throw new FacetError(
      'invalid_request',
      'There are no comparisons to rate by; give some of two players.',
      {
        field: 'players',
      },
    )
  }
  return { players: [...numbers.keys()], meetings: [...meetings.values()] }
}
