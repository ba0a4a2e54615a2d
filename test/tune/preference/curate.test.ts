/** What becomes of judged pairs: what is kept, what is dropped for which reason, and what is refused. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../../src/errors.ts'
import { type CurateOptions, curate, dropCounts } from '../../../src/tune/preference/curate.ts'
import type { Judged } from '../../../src/tune/preference/judged.ts'
import { judged } from './kit.ts'

const OPTIONS: CurateOptions = { seed: 1, evalShare: 0.25 }

/** Pairs of different prompts, without sides. */
const pairs = (count: number, more: Partial<Judged> = {}): Judged[] =>
  Array.from({ length: count }, (_, at) => judged({ ask: `Question ${at}?`, ...(more as object) }))

const counts = (given: readonly Judged[], options: CurateOptions = OPTIONS) =>
  Object.fromEntries(dropCounts(curate(given, options).dropped))

const refusal = (given: readonly Judged[], options: CurateOptions = OPTIONS): string => {
  try {
    curate(given, options)
  } catch (error) {
    if (error instanceof FacetError) return error.message
  }
  throw new Error('it was not refused')
}

describe('preference data', () => {
  it('is split by prompt and seed, whatever else there is', () => {
    const given = pairs(40).flatMap((pair) => [pair, { ...pair, b: 'Something else.' }])
    const { train, eval: held } = curate(given, OPTIONS)
    expect([train.length, held.length]).toEqual([60, 20])
    const promptsOf = (kept: typeof train) => new Set(kept.map(({ prompt }) => prompt[0]!.content))
    for (const prompt of promptsOf(held)) expect(promptsOf(train)).not.toContain(prompt)
    expect(
      curate(given.toReversed(), OPTIONS)
        .eval.map(({ prompt }) => prompt)
        .toReversed(),
    ).toEqual(held.map(({ prompt }) => prompt))
    expect(curate(given, { ...OPTIONS, seed: 2 }).eval).not.toEqual(held)
  })

  it('takes prompts that differ in case and space alone for the same', () => {
    const given = [...pairs(9), judged({ ask: ' question  0? ', b: 'Other.' })]
    const { train, eval: held } = curate(given, { ...OPTIONS, evalShare: 0.5 })
    const parts = [train, held].map((kept) =>
      kept.filter(({ prompt }) => /question +0/i.test(prompt[0]!.content)),
    )
    expect(parts.map(({ length }) => length).sort()).toEqual([0, 2])
  })

  it('has the preferred answer as chosen, whichever side it is on', () => {
    const given = pairs(4, { winner: 'b', margin: 2 })
    const { train, eval: held } = curate(given, OPTIONS)
    for (const pair of [...train, ...held]) {
      expect(pair).toMatchObject({
        chosen: 'No idea.',
        rejected: 'Because of Rayleigh scattering.',
        margin: 2,
      })
    }
  })

  it('drops ties, the same answer twice, an empty preferred answer, and pairs over the context', () => {
    const odd = [
      judged({ ask: 'Tie?', winner: 'tie' }),
      judged({ ask: 'Same?', a: 'Yes. ', b: 'Yes.' }),
      judged({ ask: 'Empty?', a: ' ' }),
      judged({ ask: 'Long?', a: 'word '.repeat(50) }),
    ]
    const lengthOf = (prompt: Judged['prompt'], answer: string): number =>
      prompt[0]!.content.length + answer.length
    const context = { tokens: 100, lengthOf }
    expect(counts([...pairs(8), ...odd], { ...OPTIONS, context })).toEqual({
      tie: 1,
      same: 1,
      empty: 1,
      'too-long': 1,
    })
  })

  it('keeps a pair once, and the way most verdicts go', () => {
    const same = judged({ ask: 'Same?' })
    const turned = judged({ ask: 'Same?', a: same.b, b: same.a, winner: 'b' })
    const against = judged({ ask: 'Same?', winner: 'b' })
    const given = [...pairs(8), same, turned, against]
    expect(counts(given)).toEqual({ duplicate: 1, contradiction: 1 })
    const { train, eval: held } = curate(given, OPTIONS)
    expect([...train, ...held].find(({ prompt }) => prompt[0]!.content === 'Same?')!.chosen).toBe(same.a)
    // As often one way as the other: nothing is known.
    expect(counts([...pairs(8), same, against])).toEqual({ contradiction: 2 })
  })

  it('leaves nothing in the training data whose prompt is held out', () => {
    const heldOut = pairs(3, { b: 'Held out.' })
    const { train, eval: held, dropped } = curate(pairs(10), { ...OPTIONS, heldOut })
    expect([train.length, held.length, dropped.length]).toEqual([7, 3, 3])
    expect(counts(pairs(10), { ...OPTIONS, heldOut })).toEqual({ straddling: 3 })
  })

  it('is whole: every pair is kept once or dropped once', () => {
    const pair = fc.record({
      ask: fc.constantFrom('A?', 'B?', 'C?', 'c?'),
      a: fc.constantFrom('x', 'y', ' ', 'z'),
      b: fc.constantFrom('x', 'y', ''),
      winner: fc.constantFrom('a', 'b', 'tie'),
    })
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 20 }), fc.nat(5), (given, seed) => {
        try {
          const { train, eval: held, dropped } = curate(given.map(judged), { seed, evalShare: 0.3 })
          expect(train.length + held.length + dropped.length).toBe(given.length)
          expect(Math.min(train.length, held.length)).toBeGreaterThan(0)
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('preference data is refused', () => {
  it('where there is none', () => {
    expect(refusal([])).toBe('There are no judged pairs; give files or runs that hold some.')
  })

  it('where one side always wins, unless that is wanted', () => {
    const players = { a: 'tuned', b: 'stock' }
    const given = pairs(12, { players })
    expect(refusal(given)).toBe(
      'tuned wins in all 12 decided pairs: a reward model would learn to tell who wrote an answer; add pairs that others win, or pass --one-sided.',
    )
    expect(curate(given, { ...OPTIONS, oneSided: true }).warnings).toContain(
      'tuned wins in all 12 decided pairs.',
    )
    const mixed = [...given, judged({ ask: 'More?', players, winner: 'b' })]
    expect(curate(mixed, OPTIONS).train.length).toBeGreaterThan(0)
  })

  it.each(['a', 'b'] as const)('where the answer in one place always wins (shown: %s)', (first) => {
    const given = pairs(10).map((pair, at): Judged => {
      const winner = at % 2 ? 'a' : 'b'
      return {
        ...pair,
        winner,
        verdicts: [{ first: first === 'a' ? winner : winner === 'a' ? 'b' : 'a', winner }],
      }
    })
    const place = first === 'a' ? 'first' : 'second'
    expect(refusal(given)).toBe(
      `The answer shown ${place} wins in all 10 decided pairs: whoever judged went by its place; have the pairs judged in both orders, or pass --one-sided.`,
    )
  })

  it('where too little is left to hold any out', () => {
    const given = [
      ...pairs(1),
      judged({ ask: 'Tie?', winner: 'tie' }),
      judged({ ask: 'Tie again?', winner: 'tie' }),
    ]
    expect(refusal(given)).toBe(
      'Of 3 judged pairs, 1 can be used, of 1 prompt (2 ties): too few to train on some and hold others out; collect more.',
    )
  })
})

describe('preference data is warned of', () => {
  it('where one side nearly always wins', () => {
    const players = { a: 'tuned', b: 'stock' }
    const given = [...pairs(99, { players }), judged({ ask: 'More?', players, winner: 'b' })]
    expect(curate(given, OPTIONS).warnings).toContain('tuned wins in 99 of 100 decided pairs.')
  })

  it('where longer answers are preferred, and not where chance may have done it', () => {
    expect(curate(pairs(30), OPTIONS).warnings[0]).toMatch(/^The longer answer wins 100\.0% of 30 pairs/)
    const even = pairs(30).map((pair, at): Judged => ({ ...pair, winner: at % 2 ? 'a' : 'b' }))
    expect(curate(even, OPTIONS).warnings).toEqual([])
  })
})
