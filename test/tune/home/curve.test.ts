import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { drawLoss, toCharts, toCurves } from '../../../src/tune/home/curve.ts'
import { toCurvePage } from '../../../src/tune/home/curve-page.ts'
import type { JobLine } from '../../../src/tune/job/job.ts'
import { parseMetrics } from '../../../src/tune/job/metrics.ts'

const step = (step: number, loss: number): JobLine => ({ facet: 'step', step, steps: 100, loss })
const falling: JobLine[] = [
  ...Array.from({ length: 100 }, (_, index) => step(index + 1, 4 / (1 + index / 10))),
  { facet: 'eval', step: 50, loss: 1.5 },
  { facet: 'eval', step: 100, loss: 1 },
]

describe('the loss in a terminal', () => {
  it('falls from the upper left to the lower right', () => {
    const lines = drawLoss(toCurves(falling), { columns: 50, rows: 4 })
    expect(lines).toMatchInlineSnapshot(`
      [
        " 4.000 ┤⠱⡀",
        "       │ ⠘⠤⣀",
        "       │    ⠑⠒⠤⢄⣀⡀          ◆",
        "0.3670 ┤         ⠈⠉⠉⠉⠑⠒⠒⠒⠒⠒⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⣄⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀◆",
        "       └──────────────────────────────────────────",
        "        1                                 step 100",
        "        ⠒ training  ◆ held out",
      ]
    `)
  })

  it('is never wider than the terminal, whatever there is to draw', () => {
    const line = fc.oneof(
      fc.record({ facet: fc.constant('step' as const), step: fc.nat(), steps: fc.nat(), loss: fc.double() }),
      fc.record({ facet: fc.constant('eval' as const), step: fc.nat(), loss: fc.double() }),
    )
    fc.assert(
      fc.property(
        fc.array(line),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 30 }),
        (lines, columns, rows) => {
          for (const drawn of drawLoss(toCurves(lines), { columns, rows }))
            expect([...drawn].length).toBeLessThanOrEqual(columns)
        },
      ),
    )
  })

  it('is nothing where nothing is known yet', () => {
    expect(drawLoss(toCurves([]), { columns: 80 })).toEqual([])
    expect(drawLoss(toCurves([step(1, 2)]), { columns: 5 })).toEqual([])
    expect(drawLoss(toCurves([step(1, Number.NaN)]), { columns: 80 })).toEqual([])
  })

  it('stands for a single value, too', () => {
    expect(drawLoss(toCurves([step(7, 2)]), { columns: 40, rows: 3 }).join('\n')).toMatch(/2\.000.*step/s)
  })
})

describe('metrics as a page', () => {
  it('has a chart for whatever was told', () => {
    const lines: JobLine[] = [
      { facet: 'step', step: 1, steps: 2, loss: 1, reward: 0.5, kl: 0.1, accuracy: 0.7 },
    ]
    expect(toCharts(toCurves(lines)).map(({ title }) => title)).toEqual([
      'Loss',
      'Reward',
      'KL to the SFT model',
      'Accuracy on pairs',
    ])
    expect(toCharts(toCurves([]))).toEqual([])
  })

  it('needs nothing else, and is read again only while the run goes on', () => {
    const live = toCurvePage(falling, { name: 'support', refreshSeconds: 10 })
    expect(live).toContain('<meta http-equiv="refresh" content="10">')
    expect(live).toContain('Step 100 of 100.')
    expect(live).not.toMatch(/<(?:script|link|img)[^>]+(?:src|href)="(?!data:)/)
    expect(toCurvePage(falling, { name: 'support' })).not.toContain('refresh')
  })
})

describe('metrics.jsonl', () => {
  const TEXT = [
    '{"facet":"step","step":10,"steps":30,"loss":2.5,"learning_rate":1e-4,"tokens":100,"seconds":3}',
    '{"facet":"save","step":10}',
    '{"facet":"step","step":20,"steps":30,"loss":2.25}',
    '{"facet":"resume","step":10}',
    '{"facet":"step","step":20,"steps":30,"loss":2}',
    '',
  ].join('\n')

  it('counts what was done twice once', () => {
    expect(toCurves(parseMetrics(TEXT)).loss).toEqual([
      [10, 2.5],
      [20, 2],
    ])
  })

  it('may be cut anywhere: every whole line counts', () => {
    const whole = parseMetrics(TEXT)
    fc.assert(
      fc.property(fc.nat({ max: TEXT.length }), (end) => {
        const lines = parseMetrics(TEXT.slice(0, end))
        expect(lines.length).toBeLessThanOrEqual(whole.length)
        for (const line of lines)
          if (line.facet !== 'resume') expect([10, 20]).toContain('step' in line && line.step)
      }),
    )
    const cut = parseMetrics(`${TEXT}{"facet":"step","st\n{"facet":"eval","step":30,"loss":1}\n`)
    expect(toCurves(cut).evalLoss).toEqual([[30, 1]])
  })

  it('of any text gives lines that can be drawn', () => {
    const line = fc.oneof(fc.string(), fc.json(), fc.constantFrom(...TEXT.split('\n')))
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const { loss, evalLoss } = toCurves(parseMetrics(lines.join('\n')))
        for (const [at, value] of [...loss, ...evalLoss])
          expect([at, value].every(Number.isFinite)).toBe(true)
      }),
    )
  })
})
