/** Ratings of players as people read them: on Elo's scale and as win rates, each with its interval. */
import { FacetError } from '../../errors.ts'
import { type Interval, Z } from '../../eval/intervals.ts'
import { nearest } from '../../nearest.ts'
import { chances, type Fit } from './bradley-terry.ts'

export interface Rating {
  readonly player: string
  /** Natural logarithm of the strength, less that of the baseline, or the mean of all. */
  readonly strength: number
  readonly interval: Interval
  /** 400 points more are ten times the strength. */
  readonly elo: number
  readonly eloInterval: Interval
  /** Against the baseline, or a player of mean strength, ties split evenly. */
  readonly winRate: number
  readonly winRateInterval: Interval
  readonly wins: number
  readonly ties: number
  readonly losses: number
}

export interface Ratings {
  /** What the strengths are measured from; null: the mean of all. */
  readonly baseline: string | null
  /** The strongest first. */
  readonly ratings: readonly Rating[]
  readonly comparisons: number
  /** Log of Davidson's parameter of ties; null: there was none. */
  readonly tie: number | null
  readonly logLikelihood: number
}

/** Of the baseline, or of a player of mean strength. */
const ELO_MIDDLE = 1000
const ELO_SCALE = 400 / Math.LN10

/**
 * Intervals are Wald's on the scale of strengths, of 95%: where a player stands from the baseline. Those of two players
 * that overlap do not say that the two are alike; `contrastOf` does.
 *
 * @param baseline a player; left out: the mean of all
 * @throws FacetError invalid_request: there is no such player
 */
export function ratingsOf(fit: Fit, baseline?: string): Ratings {
  const from = baseline === undefined ? undefined : indexOf(fit, baseline)
  const ratings = fit.players.map((player, at): Rating => {
    const { difference: strength, interval } = contrast(fit, at, from)
    const toElo = (value: number): number => ELO_MIDDLE + ELO_SCALE * value
    const toRate = (value: number): number => {
      const { win, tie } = chances(value, fit.tie)
      return win + tie / 2
    }
    return {
      player,
      strength,
      interval,
      elo: toElo(strength),
      eloInterval: both(interval, toElo),
      winRate: toRate(strength),
      winRateInterval: both(interval, toRate),
      ...recordOf(fit, at),
    }
  })
  return {
    baseline: baseline ?? null,
    ratings: ratings.toSorted((one, other) => other.strength - one.strength),
    comparisons: fit.meetings.reduce((sum, { wins, losses, ties }) => sum + wins + losses + ties, 0),
    tie: fit.tie,
    logLikelihood: fit.logLikelihood,
  }
}

export interface Contrast {
  /** Of the log-strengths. */
  readonly difference: number
  /** Of 95%: without 0, the first is stronger or weaker. */
  readonly interval: Interval
}

/** How much stronger one player is than another. @throws FacetError invalid_request: there is no such player */
export function contrastOf(fit: Fit, one: string, other: string): Contrast {
  return contrast(fit, indexOf(fit, one), indexOf(fit, other))
}

/** @param from undefined: the mean of all */
function contrast({ strengths, covariance }: Fit, at: number, from: number | undefined): Contrast {
  // The strengths' mean is 0, and so is the covariance of anything with it.
  const difference = strengths[at]! - (from === undefined ? 0 : strengths[from]!)
  const variance =
    from === undefined
      ? covariance[at]![at]!
      : covariance[at]![at]! + covariance[from]![from]! - 2 * covariance[at]![from]!
  const half = Z * Math.sqrt(Math.max(0, variance))
  return { difference, interval: [difference - half, difference + half] }
}

function recordOf({ meetings }: Fit, player: number): Pick<Rating, 'wins' | 'ties' | 'losses'> {
  const record = { wins: 0, ties: 0, losses: 0 }
  for (const { one, other, wins, losses, ties } of meetings) {
    if (one !== player && other !== player) continue
    record.wins += one === player ? wins : losses
    record.losses += one === player ? losses : wins
    record.ties += ties
  }
  return record
}

function indexOf({ players }: Fit, player: string): number {
  const index = players.indexOf(player)
  if (index >= 0) return index
  const near = nearest(player, players)
  const hint = near ? `did you mean ${near}?` : `there are ${players.join(', ')}.`
  throw new FacetError('invalid_request', `Nobody called ${player} was compared; ${hint}`, {
    field: 'baseline',
  })
}

function both([low, high]: Interval, to: (value: number) => number): Interval {
  return [to(low), to(high)]
}
