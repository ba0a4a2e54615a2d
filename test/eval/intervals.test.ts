import { describe, expect, it } from 'vitest'
import { meanOf, shareInterval } from '../../src/eval/intervals.ts'
import { randomFrom } from '../../src/random.ts'

describe('the interval of a share', () => {
  it("is Wilson's", () => {
    // Newcombe 1998, table I: 81 of 263 and 15 of 148.
    const [low, high] = shareInterval(81, 263)
    expect(low).toBeCloseTo(0.2553, 4)
    expect(high).toBeCloseTo(0.3662, 4)
    expect(shareInterval(15, 148)[0]).toBeCloseTo(0.0624, 4)
    expect(shareInterval(15, 148)[1]).toBeCloseTo(0.1605, 4)
  })

  it('stays within 0 and 1, and says what little nothing says', () => {
    expect(shareInterval(0, 20)[0]).toBe(0)
    expect(shareInterval(20, 20)[1]).toBe(1)
    expect(shareInterval(0, 0)).toEqual([0, 1])
  })

  it('holds the truth in 95 of 100 cases', () => {
    const random = randomFrom(1)
    const trials = 4000
    let held = 0
    for (let trial = 0; trial < trials; trial++) {
      const successes = Array.from({ length: 60 }, () => random() < 0.3).filter(Boolean).length
      const [low, high] = shareInterval(successes, 60)
      if (low <= 0.3 && 0.3 <= high) held++
    }
    expect(held / trials).toBeGreaterThan(0.935)
    expect(held / trials).toBeLessThan(0.97)
  })
})

describe('the interval of a mean', () => {
  it('holds the truth in 95 of 100 cases', () => {
    const random = randomFrom(2)
    const trials = 3000
    let held = 0
    for (let trial = 0; trial < trials; trial++) {
      const [low, high] = meanOf(Array.from({ length: 150 }, () => random() ** 2)).interval
      if (low <= 1 / 3 && 1 / 3 <= high) held++
    }
    expect(held / trials).toBeGreaterThan(0.93)
    expect(held / trials).toBeLessThan(0.97)
  })

  it('is everything where one was seen, and of none there is no mean', () => {
    expect(meanOf([1]).interval).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
    expect(meanOf([]).mean).toBeNaN()
  })
})
