import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { locate } from '../../src/config/locate.ts'

const SOURCE = `// export default { endpoints: {} } is how it begins
import { defineConfig } from 'gemfacet/config'

const text = "export default { wrong: 1 }"

export default defineConfig({
  /* endpoints: { gke: {} }, */
  endpoints: {
    gke: { type: 'http', baseURL: \`http://\${text}/{v1}\`, tier: 2 }, // price: 3
    'with dash': { type: "ht,tp" },
    ["edge"]: { type: 'http', timeouts: { idleMs: (1 + 2) * 3, totalMs: 5 } },
  },
  router: { order: ['gke', /* no, */ 'edge', 'with dash'], ...{ hedge: true } },
} satisfies object)
`

describe('the line of a property', () => {
  it.each<[(string | number)[], string]>([
    [['endpoints'], '8:3'],
    [['endpoints', 'gke'], '9:5'],
    [['endpoints', 'gke', 'baseURL'], '9:26'],
    [['endpoints', 'gke', 'tier'], '9:58'],
    [['endpoints', 'with dash', 'type'], '10:20'],
    [['endpoints', 'edge', 'timeouts', 'totalMs'], '11:64'],
    [['router', 'order', 1], '13:38'],
    [['router', 'order', 2], '13:46'],
  ])('is found for %j', (path, place) => {
    const { line, column } = locate(SOURCE, path)!
    expect(`${line}:${column}`).toBe(place)
  })

  it('is that of what is around it, where it is not written down itself', () => {
    expect(locate(SOURCE, ['router', 'hedge'])).toEqual({ line: 13, column: 3 })
    expect(locate(SOURCE, ['endpoints', 'gke', 'price', 'prompt'])).toEqual({ line: 9, column: 5 })
    expect(locate(SOURCE, ['nothing'])).toEqual({ line: 6, column: 29 })
  })

  it.each([
    ['a constant', 'const config = { a: 1 }\nexport default config', ['a'], '1:18'],
    [
      'a typed constant',
      'const config: FacetConfig = defineConfig({\n  a: 1 })\nexport default config',
      ['a'],
      '2:3',
    ],
    ['the last of two', 'export default { a: 1,\n a: 2 }', ['a'], '2:2'],
    ['a shorthand', 'const a = 1\nexport default { a }', ['a'], '2:18'],
  ])('is found in %s', (_, source, path, place) => {
    const { line, column } = locate(source, path)!
    expect(`${line}:${column}`).toBe(place)
  })

  it('is nothing where no object is exported', () => {
    expect(locate('export default make()', ['a'])).toBeUndefined()
    expect(locate('', ['a'])).toBeUndefined()
  })

  it('never fails or hangs, whatever the file holds', () => {
    const token = fc.constantFrom(
      'export default ',
      '{',
      '}',
      '[',
      ']',
      '(',
      ')',
      ',',
      ':',
      "'",
      '"',
      '`',
      '/*',
      '*/',
      '//',
      '\n',
      'a',
      '\\',
      '${',
      '...',
      ' ',
    )
    fc.assert(
      fc.property(
        fc.array(token, { maxLength: 60 }),
        fc.array(fc.oneof(fc.constant('a'), fc.nat(3)), { maxLength: 4 }),
        (parts, path) => {
          const source = `export default {${parts.join('')}`
          const place = locate(source, path)!
          expect(place.line).toBeGreaterThanOrEqual(1)
          expect(place.line).toBeLessThanOrEqual(source.split('\n').length)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('agrees with JSON on every property of every object', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1 }),
        (value) => {
          const source = `export default ${JSON.stringify(value, null, 2)}`
          const lines = source.split('\n')
          for (const key of Object.keys(value)) {
            const { line, column } = locate(source, [key])!
            expect(lines[line - 1]!.slice(column - 1).startsWith(JSON.stringify(key))).toBe(true)
            expect(column).toBe(3)
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})
