/** Several answers to one question: the mean of their scores, and for programs how often one of k would pass. */
import type { Measure } from './summary.ts'
import type { Scores } from './task.ts'

export const PASS_AT_1: Measure = passAt(1)

/** Of k that papers tell, those that so many answers can tell of. */
const KS = [1, 10, 100]

function passAt(k: number): Measure {
  return { name: `pass@${k}`, unit: 'share', higherIsBetter: true }
}

function ksOf(samples: number): number[] {
  return [...new Set([...KS, samples])].filter((k) => k <= samples).toSorted((a, b) => a - b)
}

/** What is measured of a task whose questions are answered so often. */
export function measuresOf(measures: readonly Measure[], samples: number): readonly Measure[] {
  return measures.flatMap((measure) =>
    measure.name === PASS_AT_1.name ? ksOf(samples).map(passAt) : measure,
  )
}

/** Of one question. @param all scores of each answer to it, of the same measures */
export function scoresOver(all: readonly Scores[]): Scores {
  const [first = {}] = all
  return Object.fromEntries(
    Object.keys(first).flatMap((name) => {
      const total = all.reduce((sum, scores) => sum + scores[name]!, 0)
      if (name !== PASS_AT_1.name) return [[name, total / all.length]]
      return ksOf(all.length).map((k) => [passAt(k).name, passAtK(all.length, total, k)])
    }),
  )
}

/**
 * The unbiased estimate of Chen et al. 2021 (arXiv 2107.03374, equation 1): 1 - C(n-c, k) / C(n, k), as a product so
 * that nothing overflows.
 *
 * @param samples n, at least k
 * @param passed c of them
 * @returns from 0 to 1
 */
export function passAtK(samples: number, passed: number, k: number): number {
  if (samples - passed < k) return 1
  let allFail = 1
  for (let i = samples - passed + 1; i <= samples; i++) allFail *= 1 - k / i
  return 1 - allFail
}
