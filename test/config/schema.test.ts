import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfigProblem } from '../../src/check.ts'
import { checkConfig } from '../../src/config/schema.ts'
import { nearest } from '../../src/nearest.ts'

const WORDS = [
  'endpoints',
  'router',
  'type',
  'baseURL',
  'http',
  'vertex',
  'local',
  'deployed',
  'endpoint',
  'name',
  'order',
  'policy',
  'tier',
  'timeouts',
  'budget',
  'apiKey',
  '__proto__',
  'constructor',
  'toString',
]

describe('the check of a configuration', () => {
  it('knows one sentence for whatever stands there, and never a stack trace', () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        fc.constantFrom<unknown>(
          ...WORDS,
          0,
          -1,
          1,
          0.5,
          null,
          undefined,
          true,
          'http://localhost/v1',
          () => [],
        ),
        fc.string(),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...WORDS), tie('value'), { maxKeys: 4 }),
      ),
    }))
    fc.assert(
      fc.property(value, (config) => {
        try {
          checkConfig(config, [])
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigProblem)
          expect((error as ConfigProblem).message).toMatch(/^[^\n]+[.?]$/)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    ['baseUrl', 'baseURL'],
    ['edpoints', 'endpoints'],
    ['htpp', 'http'],
    ['zzz', undefined],
  ])('takes %s for %s', (word, meant) => {
    expect(nearest(word, ['http', 'endpoints', 'baseURL'])).toBe(meant)
  })
})
