/** How far a measured share or mean may be from the true one. */

/** Both ends of a 95% interval. */
export type Interval = readonly [low: number, high: number]

/** Of a normal distribution, 95% lie within so many standard deviations. */
export const Z: number = 1.959963984540054

/**
 * Of a share of `count` independent trials (Wilson 1927): right for few trials too, and never outside [0, 1].
 * Of no trials nothing is known: [0, 1].
 */
export function shareInterval(successes: number, count: number): Interval {
  if (count === 0) return [0, 1]
  const share = successes / count
  const spread = Z ** 2 / count
  const middle = share + spread / 2
  const half = Z * Math.sqrt((share * (1 - share)) / count + spread / (4 * count))
  return [Math.max(0, (middle - half) / (1 + spread)), Math.min(1, (middle + half) / (1 + spread))]
}

export interface Mean {
  readonly mean: number
  readonly interval: Interval
  readonly count: number
}

/** Of independent values, by the central limit theorem, with the sample's own spread. */
export function meanOf(values: readonly number[]): Mean {
  const count = values.length
  if (count === 0) return { mean: Number.NaN, interval: [Number.NaN, Number.NaN], count }
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  if (count === 1) return { mean, interval: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY], count }
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1)
  const half = Z * Math.sqrt(variance / count)
  return { mean, interval: [mean - half, mean + half], count }
}
