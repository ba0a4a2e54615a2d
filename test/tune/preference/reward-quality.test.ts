/** The quality of reward models whose truth is known: accuracy, calibration, liking of length. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../../src/errors.ts'
import { randomFrom } from '../../../src/random.ts'
import { type RewardQuality, rewardQuality } from '../../../src/tune/preference/reward-quality.ts'
import { toRewardReport } from '../../../src/tune/preference/reward-report.ts'
import { parseScores, type ScoredPair } from '../../../src/tune/preference/scores.ts'

const pair = (chosen: number, rejected: number, more: Partial<ScoredPair> = {}): ScoredPair => ({
  prompt: `${Math.abs(chosen)} ${Math.abs(rejected)}`,
  chosen,
  rejected,
  chosenTokens: 40,
  rejectedTokens: 40,
  ...more,
})

/** Pairs whose winner Bradley and Terry's model draws; the reward model gives the true differences times `scale`. */
function drawn(count: number, scale: number, seed: number): ScoredPair[] {
  const random = randomFrom(seed)
  return Array.from({ length: count }, (_, at) => {
    const difference = 4 * random() - 2
    const wins = random() < 1 / (1 + Math.exp(-difference))
    const signed = scale * (wins ? difference : -difference)
    return pair(signed, 0, { prompt: `p${at}` })
  })
}

/** Rewards that follow the length by so much, of pairs where people prefer the longer by chance. */
function lengthy(count: number, weight: number): ScoredPair[] {
  const random = randomFrom(2)
  return Array.from({ length: count }, (_, at) => {
    const [chosenTokens, rejectedTokens] = [20 + 60 * random(), 20 + 60 * random()]
    const liking = (tokens: number): number => weight * (tokens / 20) + random()
    return {
      prompt: `p${at}`,
      chosen: liking(chosenTokens) + 0.4,
      rejected: liking(rejectedTokens),
      chosenTokens,
      rejectedTokens,
    }
  })
}

describe('a reward model', () => {
  it('is measured by hand-checked figures', () => {
    const quality = rewardQuality([pair(1, 0), pair(2, 0), pair(0, 1), pair(0.5, 0.5)])
    expect(quality.accuracy).toMatchObject({ value: 0.625, count: 4 })
    const [p1, p2] = [1, 2].map((x) => 1 / (1 + Math.exp(-x))) as [number, number]
    expect(quality.logLoss).toBeCloseTo(
      -(Math.log(p1) + Math.log(p2) + Math.log(1 - p1) + Math.log(0.5)) / 4,
      12,
    )
    expect(quality.brier).toBeCloseTo(((1 - p1) ** 2 + (1 - p2) ** 2 + p1 ** 2 + 0.25) / 4, 12)
    // Confidences p1 twice (right once), p2 (right), 0.5 (half).
    expect(quality.calibrationError).toBeCloseTo((2 * Math.abs(0.5 - p1) + Math.abs(1 - p2)) / 4, 12)
  })

  it('that knows the truth is calibrated, one that is too sure is not', () => {
    const [right, sure] = [rewardQuality(drawn(20_000, 1, 5)), rewardQuality(drawn(20_000, 4, 5))]
    expect(right.calibrationError).toBeLessThan(0.015)
    for (const { confidence, accuracy } of right.reliability) {
      expect(Math.abs(accuracy.value - confidence)).toBeLessThan(0.03)
    }
    expect(right.logLoss).toBeLessThan(right.constantLogLoss)
    expect(sure.accuracy.value).toBe(right.accuracy.value)
    expect(sure.calibrationError).toBeGreaterThan(0.15)
    expect(sure.logLoss).toBeGreaterThan(sure.constantLogLoss)
    expect(toRewardReport('sure', sure).warnings[0]).toMatch(/worse than a constant/)
  })

  it('is right more often where its rewards are further apart', () => {
    const shares = rewardQuality(drawn(8000, 1, 7)).byDifference.map(({ value }) => value)
    expect(shares).toHaveLength(4)
    expect(shares.toSorted((one, other) => one - other)).toEqual(shares)
  })

  it('is told apart by the margins that people gave', () => {
    const quality = rewardQuality([
      pair(1, 0, { margin: 2 }),
      pair(0, 1, { margin: 1 }),
      pair(3, 0, { margin: 2 }),
    ])
    expect(quality.byMargin.map(({ margin, value, count }) => [margin, value, count])).toEqual([
      [1, 0, 1],
      [2, 1, 2],
    ])
  })

  it('that likes length is found out, one that does not is not', () => {
    const [biased, fair] = [rewardQuality(lengthy(400, 1)), rewardQuality(lengthy(400, 0))]
    expect(biased.length.ofReward).toBeGreaterThan(0.8)
    expect(biased.length.whenLonger!.value).toBeGreaterThan(biased.length.whenShorter!.value + 0.3)
    expect(toRewardReport('biased', biased).warnings.join()).toContain('It likes length more than people do')
    expect(fair.length.interval[0]).toBeLessThan(fair.length.ofPeople)
    expect(toRewardReport('fair', fair).warnings).toEqual([])
  })

  it('that is a coin is called one', () => {
    const coin = Array.from({ length: 40 }, (_, at) => pair(at % 2, (at + 1) % 2, { prompt: `p${at}` }))
    expect(toRewardReport('coin', rewardQuality(coin)).warnings[0]).toMatch(/cannot be told from a coin/)
  })

  it('has intervals that hold the truth as often as they say, with several pairs of a prompt', () => {
    const random = randomFrom(31)
    let inside = 0
    for (let run = 0; run < 600; run++) {
      // A prompt's pairs are right together or wrong together, mostly; 70% of all.
      const pairs = Array.from({ length: 80 }, (_, prompt) => {
        const share = random() < 0.5 ? 0.95 : 0.45
        return Array.from({ length: 4 }, () => pair(random() < share ? 1 : -1, 0, { prompt: `p${prompt}` }))
      }).flat()
      const { interval } = rewardQuality(pairs).accuracy
      if (interval[0] <= 0.7 && 0.7 <= interval[1]) inside++
    }
    expect(inside / 600).toBeGreaterThan(0.92)
    expect(inside / 600).toBeLessThan(0.98)
  })
})

describe('scores.jsonl', () => {
  const LINE =
    '{"line":1,"prompt":"ab","chosen":0.5,"rejected":-1,"chosen_tokens":9,"rejected_tokens":7,"margin":2}'

  it('is read as the job writes it', () => {
    expect(parseScores(`${LINE}\n`, 'scores.jsonl')).toEqual([
      { prompt: 'ab', chosen: 0.5, rejected: -1, chosenTokens: 9, rejectedTokens: 7, margin: 2 },
    ])
  })

  it.each([
    ['', 'scores.jsonl holds no scores; run the reward job with held-out pairs.'],
    [`${LINE}\nNaN!`, 'scores.jsonl, line 2 is no JSON; fetch the result of the reward job again.'],
    ['[]', 'scores.jsonl, line 1 is no object; fetch the result of the reward job again.'],
    [
      '{"prompt":"a","chosen":"1"}',
      'scores.jsonl, line 1 has no number as chosen; fetch the result of the reward job again.',
    ],
  ])('is refused in one sentence: %j', (text, said) => {
    expect(() => parseScores(text, 'scores.jsonl')).toThrow(said)
  })

  it('of any content gives finite figures, or is refused', () => {
    const field = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }),
      fc.jsonValue(),
    )
    const names = ['chosen', 'rejected', 'chosen_tokens', 'rejected_tokens', 'margin'] as const
    const row = fc.record({
      prompt: fc.constantFrom('a', 'b', 'c'),
      ...Object.fromEntries(names.map((name) => [name, field])),
    })
    fc.assert(
      fc.property(fc.array(row, { maxLength: 8 }), (rows) => {
        let quality: RewardQuality
        try {
          quality = rewardQuality(
            parseScores(rows.map((one) => JSON.stringify(one)).join('\n'), 'scores.jsonl'),
          )
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
          return
        }
        const { accuracy, logLoss, brier, calibrationError, length } = quality
        for (const figure of [
          accuracy.value,
          ...accuracy.interval,
          logLoss,
          brier,
          calibrationError,
          length.ofReward,
        ]) {
          expect(Number.isFinite(figure)).toBe(true)
        }
      }),
    )
  })
})
