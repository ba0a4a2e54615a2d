/**
 * Strengths of players from comparisons of two: Bradley and Terry's model (1952), with Davidson's ties (1970).
 *
 * Of players with log-strengths s and t, the first wins with a chance in proportion to exp((s - t) / 2), the second to
 * exp((t - s) / 2), and they tie in proportion to a parameter that all share. Ties therefore inform: many of them
 * between two players say that these are close. Without any tie the parameter falls away.
 */
import { checkComparable } from './comparable.ts'
import { type Comparison, type Meeting, type Tally, tallyOf } from './comparisons.ts'
import { inverseOf, type Matrix, product } from './linear.ts'

export interface Fit {
  readonly players: readonly string[]
  readonly meetings: readonly Meeting[]
  /** Natural logarithms of the strengths, their mean 0, in the order of the players. */
  readonly strengths: readonly number[]
  /** Natural logarithm of the parameter of ties; null: there was none. */
  readonly tie: number | null
  /**
   * Of the strengths, and of the parameter of ties last where there is one: the inverse of the observed information,
   * which is also the expected one, since the model is an exponential family. It counts each comparison as independent.
   */
  readonly covariance: Matrix
  readonly logLikelihood: number
}

/** Newton's steps are long only at the start; a handful is enough. */
const MOST_STEPS = 100
/** Of the gradient, in comparisons. */
const CLOSE = 1e-9

/**
 * The most likely strengths, by Newton's method: the log-likelihood is concave.
 *
 * @throws FacetError invalid_request: some players cannot be compared with others
 */
export function fitStrengths(comparisons: Iterable<Comparison>): Fit {
  const tally = tallyOf(comparisons)
  checkComparable(tally)
  const { players, meetings } = tally
  const tied = meetings.some(({ ties }) => ties > 0)
  const size = players.length + Number(tied)
  let at = new Array<number>(size).fill(0)
  let now = derivatives(tally, at, tied)
  for (let step = 0; step < MOST_STEPS && now.gradient.some((slope) => Math.abs(slope) > CLOSE); step++) {
    const move = product(pinned(now.information, players.length), now.gradient)
    let length = 1
    let next = { point: at, value: now }
    // Near the top the likelihood is flat within rounding: a full step that loses nothing is taken.
    do {
      const point = at.map((value, index) => value + length * move[index]!)
      next = { point, value: derivatives(tally, point, tied) }
      length /= 2
    } while (next.value.logLikelihood < now.logLikelihood - 1e-9 && length > 1e-6)
    at = next.point
    now = next.value
  }
  const mean = at.slice(0, players.length).reduce((sum, value) => sum + value, 0) / players.length
  const share = 1 / players.length
  return {
    players,
    meetings,
    strengths: at.slice(0, players.length).map((value) => value - mean),
    tie: tied ? at.at(-1)! : null,
    covariance: pinned(now.information, players.length).map((row, i) =>
      row.map((value, j) => (i < players.length && j < players.length ? value - share : value)),
    ),
    logLikelihood: now.logLikelihood,
  }
}

/** How likely a win, a loss and a tie are. @param difference of the log-strengths */
export function chances(
  difference: number,
  tie: number | null,
): Readonly<Record<'win' | 'loss' | 'tie', number>> {
  const most = Math.max(Math.abs(difference) / 2, tie ?? Number.NEGATIVE_INFINITY)
  const win = Math.exp(difference / 2 - most)
  const loss = Math.exp(-difference / 2 - most)
  const even = tie === null ? 0 : Math.exp(tie - most)
  const all = win + loss + even
  return { win: win / all, loss: loss / all, tie: even / all }
}

interface Derivatives {
  readonly logLikelihood: number
  readonly gradient: readonly number[]
  /** The negative of the second derivatives. */
  readonly information: Matrix
}

function derivatives({ players, meetings }: Tally, at: readonly number[], tied: boolean): Derivatives {
  const size = at.length
  const tie = tied ? at[size - 1]! : null
  const gradient = new Array<number>(size).fill(0)
  const information = at.map(() => new Array<number>(size).fill(0))
  let logLikelihood = 0
  for (const { one, other, wins, losses, ties } of meetings) {
    const chance = chances(at[one]! - at[other]!, tie)
    const count = wins + losses + ties
    const logOf = (times: number, share: number): number => (times > 0 ? times * Math.log(share) : 0)
    logLikelihood += logOf(wins, chance.win) + logOf(losses, chance.loss) + logOf(ties, chance.tie)
    const lead = chance.win - chance.loss
    const slope = (wins - losses - count * lead) / 2
    gradient[one]! += slope
    gradient[other]! -= slope
    const spread = (count * (chance.win + chance.loss - lead ** 2)) / 4
    information[one]![one]! += spread
    information[other]![other]! += spread
    information[one]![other]! -= spread
    information[other]![one]! -= spread
    if (!tied) continue
    const last = players.length
    gradient[last]! += ties - count * chance.tie
    information[last]![last]! += count * chance.tie * (1 - chance.tie)
    const together = (-count * lead * chance.tie) / 2
    for (const [player, sign] of [
      [one, 1],
      [other, -1],
    ] as const) {
      information[player]![last]! += sign * together
      information[last]![player]! += sign * together
    }
  }
  return { logLikelihood, gradient, information }
}

/** Inverse once the strengths' mean, of which the comparisons say nothing, is held by a term of its own. */
function pinned(information: Matrix, players: number): number[][] {
  const share = 1 / players
  const held = information.map((row, i) =>
    row.map((value, j) => (i < players && j < players ? value + share : value)),
  )
  const inverse = inverseOf(held)
  if (inverse) return inverse
  throw new RangeError('comparable players have a positive definite information')
}
