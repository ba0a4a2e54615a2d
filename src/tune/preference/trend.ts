/** Which way something goes over the steps of a run, with an interval. */
import type { Interval } from '../../eval/intervals.ts'
import { studentQuantile } from './student.ts'

export interface Trend {
  /** The first and the last step it is of. */
  readonly from: number
  readonly to: number
  /** From the first to the last step, by the straight line that fits best. */
  readonly change: number
  readonly interval: Interval
}

/** Neighbouring steps are alike; means of so many stretches are nearly independent. */
const BATCHES = 10
const FEWEST_BATCHES = 4

/**
 * Of one value a step, whose errors may hang together over a few steps: a line through the means of batches.
 *
 * @param points in the order of steps
 * @param share of the interval, such as 0.95
 * @returns undefined where there are too few
 */
export function trendOfSteps(
  points: readonly (readonly [step: number, value: number])[],
  share: number,
): Trend | undefined {
  const count = Math.min(BATCHES, Math.floor(points.length / 2))
  if (count < FEWEST_BATCHES) return undefined
  const means = Array.from({ length: count }, (_, batch) => {
    const those = points.slice(
      Math.floor((batch * points.length) / count),
      Math.floor(((batch + 1) * points.length) / count),
    )
    return [meanOf(those.map(([step]) => step)), meanOf(those.map(([, value]) => value))] as const
  })
  const weights = slopeWeights(means.map(([step]) => step))
  const slope = means.reduce((sum, [, value], at) => sum + weights[at]! * value, 0)
  const middle = [meanOf(means.map(([step]) => step)), meanOf(means.map(([, value]) => value))] as const
  const squares = means.reduce(
    (sum, [step, value]) => sum + (value - middle[1] - slope * (step - middle[0])) ** 2,
    0,
  )
  const error = Math.sqrt((squares / (count - 2)) * weights.reduce((sum, weight) => sum + weight ** 2, 0))
  return toTrend([points[0]![0], points.at(-1)![0]], slope, error, count - 2, share)
}

/**
 * Of what the same units, such as prompts, gave at each of several steps: each has a line of its own, and the units are
 * independent, however alike the steps are.
 *
 * @param units values of each unit, in the order of the steps
 * @returns undefined where there are too few
 */
export function trendOfUnits(
  steps: readonly number[],
  units: readonly (readonly number[])[],
  share: number,
): Trend | undefined {
  if (steps.length < 2 || units.length < 2) return undefined
  const weights = slopeWeights(steps)
  const slopes = units.map((values) => values.reduce((sum, value, at) => sum + weights[at]! * value, 0))
  const slope = meanOf(slopes)
  const squares = slopes.reduce((sum, own) => sum + (own - slope) ** 2, 0)
  const error = Math.sqrt(squares / (slopes.length - 1) / slopes.length)
  return toTrend([steps[0]!, steps.at(-1)!], slope, error, slopes.length - 1, share)
}

/** NaN of none. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Least squares: the slope is the sum of the values by these. */
function slopeWeights(steps: readonly number[]): number[] {
  const middle = meanOf(steps)
  const spread = steps.reduce((sum, step) => sum + (step - middle) ** 2, 0)
  return steps.map((step) => (step - middle) / spread)
}

function toTrend(
  [from, to]: readonly [number, number],
  slope: number,
  error: number,
  freedom: number,
  share: number,
): Trend {
  const half = studentQuantile((1 + share) / 2, freedom) * error
  const over = to - from
  return { from, to, change: slope * over, interval: [(slope - half) * over, (slope + half) * over] }
}
