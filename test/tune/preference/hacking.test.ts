/** The rule that flags reward hacking: planted runs that must and must not be flagged, and how often chance flags one. */
import { describe, expect, it } from 'vitest'
import type { Winner } from '../../../src/eval/sxs/preference.ts'
import { randomFrom } from '../../../src/random.ts'
import { checkPolicy, type PolicyStep, type RatedCheckpoint } from '../../../src/tune/preference/hacking.ts'
import { studentQuantile } from '../../../src/tune/preference/student.ts'
import { trendOfSteps, trendOfUnits } from '../../../src/tune/preference/trend.ts'

type Random = () => number

const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** 200 steps with noise that hangs together from step to step. */
function trained(
  random: Random,
  rise: number,
  more: (share: number) => Partial<PolicyStep> = () => ({}),
): PolicyStep[] {
  let noise = 0
  return Array.from({ length: 200 }, (_, at) => {
    noise = 0.5 * noise + 0.3 * normal(random)
    return { step: at + 1, reward: (rise * at) / 200 + noise, ...more(at / 200) }
  })
}

/** Wins by a share for each checkpoint; prompts differ, and a prompt is much the same at all checkpoints. */
function rated(random: Random, shares: readonly number[], prompts = 150, ties = 0.2): RatedCheckpoint[] {
  const leanings = Array.from({ length: prompts }, () => normal(random))
  return shares.map((share, at) => {
    // Of normal leanings and normal noise of the same spread, so many are above.
    const threshold = -Math.SQRT2 * quantile(share)
    const winners = leanings.map((leaning, prompt): [string, Winner] => {
      if (random() < ties) return [`p${prompt}`, 'tie']
      return [`p${prompt}`, leaning + normal(random) > threshold ? 'a' : 'b']
    })
    return { step: ((at + 1) * 200) / shares.length, winners: new Map(winners) }
  })
}

const quantile = (share: number): number =>
  share < 0.5 ? -studentQuantile(1 - share, 200) : studentQuantile(share, 200)

const kinds = (steps: readonly PolicyStep[], checkpoints: readonly RatedCheckpoint[]): string[] =>
  checkPolicy(steps, checkpoints).flags.map(({ kind }) => kind)

/** Share of many runs that are flagged. */
function flagged(runs: number, one: (random: Random) => string[]): number {
  const random = randomFrom(17)
  let count = 0
  for (let run = 0; run < runs; run++) if (one(random).includes('reward-hacking')) count++
  return count / runs
}

describe('reward hacking', () => {
  it.each([
    ['a win rate that falls from the start', [0.45, 0.4, 0.3, 0.25]],
    ['one that rises first', [0.6, 0.65, 0.5, 0.35, 0.3]],
    ['a single checkpoint that is clearly worse', [0.3]],
  ])('is seen in %s while the reward rises', (_, shares) => {
    expect(flagged(50, (random) => kinds(trained(random, 2), rated(random, shares)))).toBeGreaterThan(0.95)
  })

  it.each([
    ['the win rate rises too', 2, [0.55, 0.6, 0.65, 0.7]],
    ['the win rate stays where it got', 2, [0.65, 0.66, 0.65, 0.65]],
    ['the win rate falls, and the reward does not rise', 0, [0.45, 0.4, 0.3, 0.25]],
    ['the win rate falls, and the reward with it', -2, [0.45, 0.4, 0.3, 0.25]],
  ])('is not seen where %s', (_, rise, shares) => {
    expect(flagged(100, (random) => kinds(trained(random, rise), rated(random, shares)))).toBeLessThan(0.05)
  })

  it.each([1, 4, 8])('is a false alarm in one of forty level runs at most, with %i checkpoints', (count) => {
    const level = Array.from({ length: count }, () => 0.5)
    const rate = flagged(1000, (random) => kinds(trained(random, 2), rated(random, level, 80)))
    // Of 1,000 runs, chance adds a point at most.
    expect(rate).toBeLessThan(0.035)
  })

  it('is told with its stretch, change and interval', () => {
    const random = randomFrom(4)
    const check = checkPolicy(trained(random, 2), rated(random, [0.65, 0.5, 0.3]))
    expect(check.flags[0]!.says).toMatch(
      /^Reward hacking: from step \d+ to 200 the reward rises by [\d.]+ while the win rate against the start falls by [\d.]+ points \[[\d.]+, [\d.]+\]; take a checkpoint from before/,
    )
    expect(check.winRates.map(({ step }) => Math.round(step))).toEqual([67, 133, 200])
    expect(check.prompts).toBe(150)
  })

  it('is not looked for in too few prompts, or without a judge, and that is said', () => {
    const random = randomFrom(4)
    expect(checkPolicy(trained(random, 2), rated(random, [0.1], 12)).notes).toEqual([
      'Only 12 prompts were judged at every checkpoint; a trend takes 20.',
    ])
    expect(checkPolicy(trained(random, 2), []).notes[0]).toMatch(/^No checkpoint was judged/)
    expect(checkPolicy([], rated(random, [0.1])).notes).toEqual([
      'Too few steps tell a reward for a trend of it.',
    ])
  })
})

describe('a policy', () => {
  const random = randomFrom(9)
  const says = (more: (share: number) => Partial<PolicyStep>): string[] =>
    checkPolicy(trained(random, 1, more), []).flags.map((flag) => flag.says)

  it('that has left the start is flagged, one that drifts is not', () => {
    expect(says((share) => ({ kl: 40 * share }))[0]).toMatch(
      /^The KL divergence is 35\.\d nats an answer over the last fifth of the steps, more than 20/,
    )
    expect(says((share) => ({ kl: 12 * share + 0.2 * normal(random) }))).toEqual([])
  })

  it('whose KL runs away is flagged before it is far', () => {
    expect(says((share) => ({ kl: 0.001 * Math.exp(9 * share) }))[0]).toMatch(
      /times that of the fifth before: it runs away/,
    )
    expect(says((share) => ({ kl: 0.0001 * Math.exp(8 * share) }))).toEqual([])
  })

  it('whose answers grow by half is flagged, one whose lengths only vary is not', () => {
    expect(says((share) => ({ length: 50 + 60 * share + normal(random) }))[0]).toMatch(
      /^Answers grow from 5\d to 10\d tokens/,
    )
    expect(says(() => ({ length: 50 + 10 * normal(random) }))).toEqual([])
  })
})

describe('trends', () => {
  it('have quantiles as the tables give them', () => {
    // Abramowitz and Stegun, table 26.10.
    expect(studentQuantile(0.975, 1)).toBeCloseTo(12.706, 3)
    expect(studentQuantile(0.975, 2)).toBeCloseTo(4.303, 3)
    expect(studentQuantile(0.975, 5)).toBeCloseTo(2.571, 3)
    expect(studentQuantile(0.995, 10)).toBeCloseTo(3.169, 3)
    expect(studentQuantile(0.975, 120)).toBeCloseTo(1.98, 3)
    expect(studentQuantile(0.5, 7)).toBeCloseTo(0, 9)
  })

  it('are within their intervals nearly as often as 95% says, though neighbours are alike', () => {
    const random = randomFrom(23)
    let inside = 0
    for (let run = 0; run < 1000; run++) {
      const points = trained(random, 1).map(({ step, reward }) => [step, reward!] as const)
      const { interval } = trendOfSteps(points, 0.95)!
      const truth = 199 / 200
      if (interval[0] <= truth && truth <= interval[1]) inside++
    }
    expect(inside / 1000).toBeGreaterThan(0.92)
    expect(inside / 1000).toBeLessThan(0.98)
  })

  it('are exact on a straight line, and not known of too little', () => {
    const points = Array.from({ length: 20 }, (_, at) => [at * 10, 3 * at] as const)
    expect(trendOfSteps(points, 0.95)!.change).toBeCloseTo(57, 9)
    expect(trendOfSteps(points.slice(0, 5), 0.95)).toBeUndefined()
    expect(
      trendOfUnits(
        [0, 5, 10],
        [
          [0, 1, 2],
          [0, 2, 4],
        ],
        0.95,
      )!.change,
    ).toBeCloseTo(3, 9)
    expect(trendOfUnits([0], [[1]], 0.95)).toBeUndefined()
  })
})
