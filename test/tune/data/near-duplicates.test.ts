import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../../src/random.ts'
import { chosenRows, Groups } from '../../../src/tune/data/groups.ts'
import { NearDuplicates, RUN_WORDS, signatureOf } from '../../../src/tune/data/near-duplicates.ts'
import { wordHashes, wordsOf } from '../../../src/tune/data/words.ts'

const random = randomFrom(7)
const wordAt = (): string => `w${Math.floor(random() * 5000)}`
const textOf = (length: number): string[] => Array.from({ length }, wordAt)
const signature = (words: readonly string[]) => signatureOf(wordHashes(words.join(' ')))

/** Common runs of words among all, counted. */
function similarity(one: readonly string[], other: readonly string[]): number {
  const runsOf = (words: readonly string[]): Set<string> =>
    new Set(words.slice(RUN_WORDS - 1).map((_, at) => words.slice(at, at + RUN_WORDS).join(' ')))
  const [a, b] = [runsOf(one), runsOf(other)]
  const common = [...a].filter((run) => b.has(run)).length
  return common / (a.size + b.size - common)
}

/** The text with some words replaced, until it is no more than so similar. */
function changed(words: readonly string[], target: number): string[] {
  const copy = [...words]
  while (similarity(words, copy) > target) copy[Math.floor(random() * copy.length)] = wordAt()
  return copy
}

describe('planted near duplicates', () => {
  const originals = Array.from({ length: 400 }, () => textOf(80 + Math.floor(random() * 160)))
  const index = new NearDuplicates(originals.length)
  for (const words of originals) index.add(signature(words))
  /** How many of the copies are found, and the mean error of their similarity. */
  const measure = (target: number, least: number) => {
    const found = originals.map((words, number) => {
      const copy = changed(words, target)
      const match = index.find(signature(copy), least).find((one) => one.number === number)
      return match && { error: Math.abs(match.similarity - similarity(words, copy)) }
    })
    const matches = found.filter((one) => one !== undefined)
    return {
      recall: matches.length / found.length,
      error: matches.reduce((sum, { error }) => sum + error, 0) / matches.length,
    }
  }

  it('meet in the bands: 97% of those that are 80% the same, 85% of those that are 70%', () => {
    expect(measure(0.8, 0).recall).toBeGreaterThan(0.97)
    expect(measure(0.7, 0).recall).toBeGreaterThan(0.85)
  })

  it('are told from others: at a threshold of 0.8, 97% of those 90% the same, hardly one of 65%', () => {
    expect(measure(0.9, 0.8).recall).toBeGreaterThan(0.97)
    expect(measure(0.65, 0.8).recall).toBeLessThan(0.01)
  })

  it('are said to be as similar as they are', () => {
    expect(measure(0.8, 0).error).toBeLessThan(0.05)
  })

  it('are not seen where there are none', () => {
    const strangers = Array.from({ length: 500 }, () => signature(textOf(60)))
    expect(strangers.flatMap((one) => index.find(one, 0.5))).toEqual([])
  })

  it('are found among thousands of texts that begin alike', () => {
    const many = new NearDuplicates(16)
    const same = textOf(50)
    const texts = Array.from({ length: 2000 }, () => [...same, ...textOf(30)])
    for (const words of texts) many.add(signature(words))
    expect(many.find(signature(texts[1990]!), 0.99)[0]?.number).toBe(1990)
  })
})

describe('words', () => {
  it('are the same whatever their case, spaces and punctuation, and in each way to write a character', () => {
    expect(wordsOf('Café, “Déjà-vu”!')).toEqual(wordsOf('  CAFÉ déjà VU '.normalize('NFD')))
  })

  it('are single characters in scripts without spaces', () => {
    expect(wordsOf('Gemma は小さい model')).toEqual(['gemma', 'は', '小', 'さ', 'い', 'model'])
  })

  it('come of any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(wordHashes(text)).toHaveLength(wordsOf(text).length)
        signatureOf(wordHashes(text))
      }),
    )
  })
})

describe('a split', () => {
  it('never parts a group, and takes no more rows than are wanted', () => {
    const pairs = fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { maxLength: 80 })
    fc.assert(
      fc.property(pairs, fc.nat(100), fc.integer(), (joined, wanted, seed) => {
        const groups = new Groups()
        for (let row = 0; row < 100; row++) groups.add()
        for (const [one, other] of joined) groups.join(one, other)
        const chosen = chosenRows(groups, wanted, seed)
        for (const [one, other] of joined) expect(chosen[one]).toBe(chosen[other])
        expect(chosen.filter((one) => one === 1).length).toBeLessThanOrEqual(wanted)
        expect(chosenRows(groups, wanted, seed)).toEqual(chosen)
      }),
    )
  })

  it('is another with another seed', () => {
    const groups = new Groups()
    for (let row = 0; row < 5000; row++) groups.add()
    const [one, other] = [chosenRows(groups, 500, 1), chosenRows(groups, 500, 2)]
    expect(one.filter((row) => row === 1)).toHaveLength(500)
    expect(one.filter((row, at) => row === 1 && other[at] === 1).length).toBeLessThan(100)
  })
})
