/** Strengths from comparisons: against a published example, the truth of simulations, a bootstrap, and hard data. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../../src/errors.ts'
import { randomFrom } from '../../../src/random.ts'
import { chances, fitStrengths } from '../../../src/tune/preference/bradley-terry.ts'
import type { Comparison } from '../../../src/tune/preference/comparisons.ts'
import { contrastOf, ratingsOf } from '../../../src/tune/preference/ratings.ts'

/** So many comparisons of each outcome. */
const counted = (a: string, b: string, wins: number, losses: number, ties = 0): Comparison[] => [
  ...Array.from({ length: wins }, () => ({ a, b, winner: 'a' }) as const),
  ...Array.from({ length: losses }, () => ({ a, b, winner: 'b' }) as const),
  ...Array.from({ length: ties }, () => ({ a, b, winner: 'tie' }) as const),
]

/** As the model says, between all pairs of players. */
function simulated(
  strengths: readonly number[],
  tie: number | null,
  perPair: number,
  random: () => number,
): Comparison[] {
  const names = strengths.map((_, at) => `p${at}`)
  return strengths.flatMap((one, i) =>
    strengths.slice(i + 1).flatMap((other, offset) => {
      const { win, loss } = chances(one - other, tie)
      return Array.from({ length: perPair }, (): Comparison => {
        const drawn = random()
        const winner = drawn < win ? 'a' : drawn < win + loss ? 'b' : 'tie'
        return { a: names[i]!, b: names[i + 1 + offset]!, winner }
      })
    }),
  )
}

const refusal = (comparisons: readonly Comparison[]): FacetError => {
  try {
    fitStrengths(comparisons)
  } catch (error) {
    if (error instanceof FacetError) return error
  }
  throw new Error('it was not refused')
}

/**
 * Brands of chocolate pudding: i, j, comparisons, wins of i, of j, ties (Davidson 1970, example 2, as in the R package
 * PlackettLuce, data set `pudding`).
 */
const PUDDING = [
  [1, 2, 57, 19, 22, 16],
  [1, 3, 47, 16, 19, 12],
  [2, 3, 48, 19, 19, 10],
  [1, 4, 54, 18, 23, 13],
  [2, 4, 51, 23, 19, 9],
  [3, 4, 54, 19, 20, 15],
  [1, 5, 50, 13, 19, 18],
  [2, 5, 48, 16, 20, 12],
  [3, 5, 48, 16, 15, 17],
  [4, 5, 47, 17, 14, 16],
  [1, 6, 51, 18, 21, 12],
  [2, 6, 54, 22, 20, 12],
  [3, 6, 41, 13, 18, 10],
  [4, 6, 51, 14, 19, 18],
  [5, 6, 44, 11, 21, 12],
] as const

describe('strengths', () => {
  const pudding = PUDDING.flatMap(([i, j, , wins, losses, ties]) =>
    counted(`${i}`, `${j}`, wins, losses, ties),
  )
  const brands = ['1', '2', '3', '4', '5', '6']

  it('agree with the published ones of an experiment with ties', () => {
    const fit = fitStrengths(pudding)
    const worths = brands.map((brand) => Math.exp(fit.strengths[fit.players.indexOf(brand)]!))
    const sum = worths.reduce((total, worth) => total + worth, 0)
    // Davidson stopped after a few iterations: three digits are his.
    const published = [0.1388, 0.173, 0.1617, 0.1654, 0.1587, 0.2024]
    for (const [at, worth] of worths.entries()) expect(worth / sum).toBeCloseTo(published[at]!, 3)
    expect(Math.exp(fit.tie!)).toBeCloseTo(0.7468, 3)
  })

  it('have the standard errors that R gives them, against the mean and against a player', () => {
    // summary(PlackettLuce(R, npseudo = 0, weights = w)) of the package's vignette.
    const toMean = [0.121949, 0.121818, 0.126823, 0.122003, 0.127054, 0.126594]
    const toFirst = [0, 0.1872, 0.1935, 0.1882, 0.1927, 0.1924]
    const fit = fitStrengths(pudding)
    const { ratings } = ratingsOf(fit)
    for (const [at, brand] of brands.entries()) {
      const [low, high] = ratings.find(({ player }) => player === brand)!.interval
      expect((high - low) / (2 * 1.959964)).toBeCloseTo(toMean[at]!, 4)
      const contrast = contrastOf(fit, brand, '1')
      expect((contrast.interval[1] - contrast.interval[0]) / (2 * 1.959964)).toBeCloseTo(toFirst[at]!, 4)
    }
    expect(Math.sqrt(fit.covariance.at(-1)!.at(-1)!)).toBeCloseTo(0.082499, 4)
  })

  it('of two players are the logarithm of the odds', () => {
    const fit = fitStrengths(counted('a', 'b', 30, 10))
    expect(contrastOf(fit, 'a', 'b').difference).toBeCloseTo(Math.log(3), 9)
    // Woolf: the variance of a log-odds is 1/wins + 1/losses.
    const [low, high] = contrastOf(fit, 'a', 'b').interval
    expect(high - low).toBeCloseTo(2 * 1.959964 * Math.sqrt(1 / 30 + 1 / 10), 5)
    expect(fit.tie).toBeNull()
  })

  it.each([
    ['without ties', null],
    ['with ties', -0.3],
  ])('are within their intervals as often as 95% says, %s', (_, tie) => {
    const truth = [-0.9, -0.3, 0.1, 0.4, 0.7]
    const random = randomFrom(11)
    let [inside, all] = [0, 0]
    for (let run = 0; run < 400; run++) {
      const { ratings } = ratingsOf(fitStrengths(simulated(truth, tie, 40, random)))
      for (const { player, interval } of ratings) {
        const value = truth[Number(player.slice(1))]!
        all++
        if (interval[0] <= value && value <= interval[1]) inside++
      }
    }
    // 2,000 intervals: chance alone keeps the share within 1.5 points.
    expect(inside / all).toBeGreaterThan(0.935)
    expect(inside / all).toBeLessThan(0.965)
  })

  it('have intervals as wide as a bootstrap makes them', () => {
    const random = randomFrom(5)
    const data = simulated([-0.8, 0, 0.3, 0.5], -0.5, 120, random)
    const fit = fitStrengths(data)
    const draws = Array.from({ length: 400 }, () => {
      const again = fitStrengths(data.map(() => data[Math.floor(random() * data.length)]!))
      return fit.players.map((player) => contrastOf(again, player, 'p1').difference)
    })
    for (const [at, player] of fit.players.entries()) {
      if (player === 'p1') continue
      const sorted = draws.map((draw) => draw[at]!).sort((one, other) => one - other)
      const [low, high] = contrastOf(fit, player, 'p1').interval
      const width = sorted[389]! - sorted[10]!
      expect((high - low) / width).toBeGreaterThan(0.85)
      expect((high - low) / width).toBeLessThan(1.15)
    }
  })

  it('do not depend on who is named first, nor on the order of the comparisons', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.nat(2)), { maxLength: 60 }), (rows) => {
        const data = rows.flatMap(([a, b, outcome]): Comparison[] =>
          a === b ? [] : [{ a: `p${a}`, b: `p${b}`, winner: (['a', 'b', 'tie'] as const)[outcome]! }],
        )
        const turned = data
          .map(
            ({ a, b, winner }): Comparison => ({
              a: b,
              b: a,
              winner: winner === 'tie' ? 'tie' : winner === 'a' ? 'b' : 'a',
            }),
          )
          .reverse()
        const strengthsOf = (comparisons: readonly Comparison[]): Map<string, number> | string => {
          try {
            const { players, strengths } = fitStrengths(comparisons)
            return new Map(players.map((player, at) => [player, strengths[at]!]))
          } catch (error) {
            expect(error).toBeInstanceOf(FacetError)
            return 'refused'
          }
        }
        const [one, other] = [strengthsOf(data), strengthsOf(turned)]
        if (typeof one === 'string' || typeof other === 'string') {
          expect(one).toEqual(other)
          return
        }
        for (const [player, strength] of one) {
          expect(Math.abs(strength)).toBeLessThan(20)
          expect(other.get(player)).toBeCloseTo(strength, 5)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('players that cannot be compared', () => {
  it('are named where two groups never met', () => {
    const { message, code } = refusal([...counted('a', 'b', 3, 2), ...counted('c', 'd', 2, 2)])
    expect(code).toBe('invalid_request')
    expect(message).toBe(
      'a and b cannot be compared with c and d: they never met, not even through others; add comparisons between them.',
    )
  })

  it('are named where nobody of a group has won against the other', () => {
    const data = [...counted('a', 'b', 3, 2), ...counted('b', 'c', 4, 0), ...counted('c', 'd', 1, 2)]
    expect(refusal(data).message).toMatch(/^a and b cannot be compared with c and d: nobody of the latter/)
  })

  it('are refused where one has lost to nobody, ties or not', () => {
    expect(refusal(counted('best', 'rest', 5, 0)).message).toContain('best cannot be compared with rest')
    const tied = refusal(counted('best', 'rest', 5, 0, 3))
    expect(tied.message).toMatch(/^best and rest cannot be rated: every win goes down this order/)
  })

  it('are rated where ties alone go against the wins, but too few of them to explain any distance', () => {
    // a > b > c by wins, and a ties with c: two wins' distance that is at most one tie's.
    const data = [...counted('a', 'b', 2, 0), ...counted('b', 'c', 2, 0), ...counted('a', 'c', 0, 0, 2)]
    const fit = fitStrengths(data)
    expect(fit.strengths.every((strength) => Math.abs(strength) < 5)).toBe(true)
    expect(fit.strengths[0]).toBeGreaterThan(fit.strengths[2]!)
  })

  it('are all of them, where nothing is decided, nobody plays, or one plays itself', () => {
    expect(refusal(counted('a', 'b', 0, 0, 9)).message).toMatch(/^All comparisons are ties/)
    expect(refusal([]).message).toMatch(/^There are no comparisons to rate by/)
    expect(refusal(counted('a', 'a', 1, 0)).message).toMatch(/^a is compared with itself/)
  })

  it('by that test alone: what it lets through has finite strengths', () => {
    const random = randomFrom(3)
    let fitted = 0
    for (let run = 0; run < 300; run++) {
      const data = simulated([-1, 0, 1], -0.2, 1 + Math.floor(random() * 3), random)
      let fit: ReturnType<typeof fitStrengths>
      try {
        fit = fitStrengths(data)
      } catch {
        continue
      }
      fitted++
      // At the top, expected wins and ties are those that were counted.
      expect(fit.strengths.every((strength) => Math.abs(strength) < 15)).toBe(true)
    }
    expect(fitted).toBeGreaterThan(50)
  })
})

describe('ratings', () => {
  it('stand from the strongest down, 400 points for ten times the strength', () => {
    const fit = fitStrengths(counted('weak', 'strong', 10, 100))
    const { ratings } = ratingsOf(fit, 'weak')
    expect(ratings.map(({ player }) => player)).toEqual(['strong', 'weak'])
    expect(ratings[0]!.elo).toBeCloseTo(1400, 6)
    expect(ratings[1]!).toMatchObject({
      elo: 1000,
      eloInterval: [1000, 1000],
      winRate: 0.5,
      wins: 10,
      losses: 100,
    })
    expect(ratings[0]!.winRate).toBeCloseTo(10 / 11, 6)
  })

  it('are refused against a baseline that nobody met', () => {
    const fit = fitStrengths(counted('gemma-2b', 'gemma-7b', 2, 3))
    expect(() => ratingsOf(fit, 'gema-2b')).toThrow(
      'Nobody called gema-2b was compared; did you mean gemma-2b?',
    )
  })
})
