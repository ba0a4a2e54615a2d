/** metrics.jsonl, whole and torn, of one attempt and of many. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lastStep, parseLine, parseMetrics, savedStep } from '../../../src/tune/job/metrics.ts'

const step = (at: number, loss: number): string => JSON.stringify({ facet: 'step', step: at, steps: 9, loss })

describe('metrics', () => {
  it('are read line by line, whatever stands between them', () => {
    const text = `${step(1, 3)}\nnot JSON\n{"facet":"attempt","attempt":1}\n${step(2, 2)}\n{"facet":"save","step":2}\n{"facet":"eval","step":2,"loss":2.5}\n{"facet":"st`
    expect(parseMetrics(text)).toEqual([
      { facet: 'step', step: 1, steps: 9, loss: 3 },
      { facet: 'step', step: 2, steps: 9, loss: 2 },
      { facet: 'save', step: 2 },
      { facet: 'eval', step: 2, loss: 2.5 },
    ])
    expect(lastStep(parseMetrics(text))).toMatchObject({ step: 2 })
    expect(savedStep(parseMetrics(text))).toBe(2)
  })

  it('forget the steps that are done again', () => {
    const text = [
      step(1, 3),
      '{"facet":"save","step":1}',
      step(2, 2),
      step(3, 2),
      '{"facet":"resume","step":1}',
      step(2, 1),
    ]
    const steps = parseMetrics(text.join('\n')).flatMap((line) =>
      line.facet === 'step' ? [[line.step, line.loss]] : [],
    )
    expect(steps).toEqual([
      [1, 3],
      [2, 1],
    ])
  })

  it('keep what policies and reward models tell', () => {
    const line = {
      facet: 'step',
      step: 1,
      steps: 2,
      loss: 0.5,
      learning_rate: 1e-4,
      tokens: 9,
      seconds: 1.5,
      reward: 2,
      kl: 0.1,
      accuracy: 0.7,
    }
    expect(parseLine(JSON.stringify({ ...line, unknown: 'x' }))).toEqual(line)
    const files = [{ path: 'a', bytes: 1, sha256: 'b' }]
    expect(parseLine(JSON.stringify({ facet: 'done', files }))).toEqual({ facet: 'done', files })
  })

  it('never fail, and hold no step twice', () => {
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({
          facet: fc.constantFrom('step', 'save', 'resume', 'eval', 'done'),
          step: fc.nat(9),
          steps: fc.nat(9),
          loss: fc.double(),
        })
        .map((one) => JSON.stringify(one)),
    )
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const parsed = parseMetrics(lines.join('\n'))
        for (const one of parsed) if ('step' in one) expect(Number.isSafeInteger(one.step)).toBe(true)
        const resumed = parsed.findLast((one) => one.facet === 'resume')
        if (resumed) {
          const at = parsed.indexOf(resumed)
          for (const one of parsed.slice(0, at))
            if ('step' in one) expect(one.step).toBeLessThanOrEqual(resumed.step)
        }
      }),
      { seed: 3 },
    )
  })
})
