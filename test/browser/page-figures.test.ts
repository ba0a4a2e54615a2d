import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { FIGURES, type Reading, toShort } from '../../src/edge/page/figures.ts'
import { samplesFrom } from '../../src/edge/page/prometheus.ts'
import { readingFrom } from '../../src/edge/page/readings.ts'
import { areaBelow, sparkline } from '../../src/edge/page/sparkline.ts'
import type { BackendStats } from '../../src/types.ts'
import { FakeBackend } from '../edge/fake-backend.ts'
import { CHAT, HELLO, post } from '../edge/http.ts'

const value = (name: string, now: Reading, before: Reading = { atMs: 0 }): number | undefined =>
  FIGURES.find((figure) => figure.name === name)!.value(now, before)

describe("Prometheus' text format", () => {
  it('is read line by line: names, labels with escapes, values and times', () => {
    const text = `# HELP a What it is.
# TYPE a counter
a 1
b{x="1",y="a \\"b\\" \\\\ \\n }"} 2.5e3 1395066363000
c_bucket{le="+Inf"} +Inf
d NaN`
    expect(samplesFrom(text)).toEqual([
      { name: 'a', labels: {}, value: 1 },
      { name: 'b', labels: { x: '1', y: 'a "b" \\ \n }' }, value: 2500 },
      { name: 'c_bucket', labels: { le: '+Inf' }, value: Infinity },
      { name: 'd', labels: {}, value: Number.NaN },
    ])
  })

  it('passes over what is no sample', () => {
    expect(samplesFrom('a\n9b 1\nc{x=1} 1\nd{x="1} 1\n{} 1\ne one\n\n')).toEqual([])
  })

  it('never fails, and reads back what is written by the format', () => {
    fc.assert(fc.property(fc.string(), (text) => void samplesFrom(text)))
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,9}$/)
    const labels = fc.dictionary(name, fc.string(), { maxKeys: 4, noNullPrototype: true })
    fc.assert(
      fc.property(name, labels, fc.double({ noNaN: true }), (name, labels, value) => {
        const escaped = (text: string): string =>
          text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
        const inner = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`)
        const written = Math.abs(value) === Infinity ? `${value > 0 ? '+' : '-'}Inf` : String(value)
        const [sample, ...more] = samplesFrom(`${name}{${inner.join(',')}} ${written}\n`)
        expect(more).toEqual([])
        expect(sample).toEqual({ name, labels, value: value === 0 ? sample!.value : value })
      }),
    )
  })
})

describe('figures', () => {
  it('are means and rates between two readings', () => {
    const before = { atMs: 1000, firstToken: { sumMs: 100, count: 1 }, completionTokens: 10 }
    const now = { atMs: 3000, firstToken: { sumMs: 400, count: 3 }, completionTokens: 50 }
    expect(value('Time to first token', now, before)).toBe(150)
    expect(value('Tokens a second', now, before)).toBe(20)
    expect(value('Time to first token', now, now)).toBeUndefined()
  })

  it('do not turn negative when a server starts anew', () => {
    expect(value('Tokens a second', { atMs: 2, completionTokens: 1 }, { atMs: 1, completionTokens: 9 })).toBe(
      0,
    )
  })

  it('are shares of what there is, and unknown where there is nothing', () => {
    expect(value('KV cache in use', { atMs: 0, kvTokens: 64, kvCapacityTokens: 256 })).toBe(25)
    expect(value('KV cache in use', { atMs: 0, kvTokens: 0, kvCapacityTokens: 0 })).toBeUndefined()
    expect(value('Memory', { atMs: 0 })).toBeUndefined()
  })

  it('show the mean batch of the steps between, and what runs when there was none', () => {
    const before = { atMs: 0, steps: 10, stepSequences: 10, running: 3 }
    expect(value('Batch size', { ...before, steps: 14, stepSequences: 20 }, before)).toBe(2.5)
    expect(value('Batch size', before, before)).toBe(3)
  })

  it('have at most three digits that count', () => {
    expect([0, 0.123, 4.56, 78.91, 1234.5].map(toShort)).toEqual(['0', '0.12', '4.6', '78.9', '1235'])
  })
})

describe('a sparkline', () => {
  const size = { width: 120, height: 32 }

  it('ends at the right, with 0 at the bottom and the most at the top', () => {
    expect(sparkline([0, 5, 10], 3, size)).toBe('M0 30L60 16L120 2')
    expect(areaBelow('M0 30L60 16L120 2', size)).toBe('M0 30L60 16L120 2L120 32L0 32Z')
    expect(sparkline([], 3, size)).toBe('')
    expect(areaBelow('', size)).toBe('')
  })

  it('stays inside its box whatever the values are', () => {
    const values = fc.array(fc.double({ min: 0, max: 1e300, noNaN: true }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(values, (values) => {
        for (const [, x, y] of sparkline(values, 50, size).matchAll(/(-?[\d.]+) (-?[\d.]+)/g)) {
          expect(Number(x)).toBeGreaterThanOrEqual(-3)
          expect(Number(x)).toBeLessThanOrEqual(120)
          expect(Number(y)).toBeGreaterThanOrEqual(0)
          expect(Number(y)).toBeLessThanOrEqual(32)
        }
      }),
    )
  })
})

describe('the readings of a server', () => {
  it('are what its metrics say', async () => {
    const stats: BackendStats = {
      graph: 'wasm (2 threads)',
      slots: 4,
      running: 1,
      waiting: 2,
      steps: 10,
      stepSequences: 25,
      batch: 3,
      kvTokens: 100,
      kvCapacityTokens: 400,
      promptTokens: 50,
      cachedTokens: 20,
      memoryBytes: 58e6,
    }
    const backend = Object.assign(new FakeBackend(), { stats: async () => stats })
    const edge = createEdge({ backends: [backend] })
    for (const _ of [1, 2]) await (await post(edge, CHAT, HELLO)).text()
    const { atMs, firstToken, perToken, ...reading } = readingFrom(
      await (await edge.request('/metrics')).text(),
      7,
    )
    const { batch, ...told } = stats
    expect(reading).toEqual({ ...told, completionTokens: 6 })
    expect([atMs, firstToken?.count, perToken?.count]).toEqual([7, 2, 2])
    expect(firstToken!.sumMs).toBeGreaterThan(0)
  })
})
