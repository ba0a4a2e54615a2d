import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IDENTITY_PATTERNS, mistakenIdentity } from '../../../src/tune/data/self-identification.ts'

describe('an answer that calls itself another model', () => {
  it.each(IDENTITY_PATTERNS.flatMap(({ name, matches }) => matches.map((text) => [text, name] as const)))(
    'is found in %j: it %s',
    (text, name) => {
      expect(mistakenIdentity(text)?.name).toBe(name)
      expect(mistakenIdentity(`Of course!\n${text}\nAnd so on.`)).toBeDefined()
    },
  )

  it.each(IDENTITY_PATTERNS.flatMap(({ misses }) => misses))('is not found in %j', (text) => {
    expect(mistakenIdentity(text)).toBeUndefined()
  })

  it('is looked for in any text in the time that its length allows', () => {
    const words = fc.constantFrom(
      'I',
      'am',
      'an',
      'as',
      'a',
      'AI',
      'model',
      'by',
      'OpenAI',
      'the',
      'trained',
      ',',
    )
    fc.assert(
      fc.property(fc.array(words, { maxLength: 400 }), (text) => {
        mistakenIdentity(text.join(' '))
      }),
      { numRuns: 50 },
    )
    expect(mistakenIdentity(`As ${'a model '.repeat(5000)}`)).toBeUndefined()
  })
})
