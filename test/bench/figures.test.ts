/** Figures in the documentation, against the results of the benchmarks they are said to come from. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { AdapterRatios, Report, ShapeRatios } from '../../bench/results.ts'
import type { ScoreReport } from '../../bench/score.ts'
import type { SpeculateReport } from '../../bench/speculate.ts'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

it('says of guessing what was measured', () => {
  const { texts }: SpeculateReport = JSON.parse(read('bench/results/speculate.json'))
  const documentation = read('docs/edge.md')
  expect(texts).toHaveLength(3)
  for (const { text, ratio } of texts) expect(documentation).toContain(`| ${text} | ${ratio.toFixed(2)} |`)
})

it('says of adapters what was measured', () => {
  const { ratios }: Report<AdapterRatios> = JSON.parse(read('bench/results/adapters.json'))
  const percent = (share: number | null): string => `+${(share! * 100).toFixed(1)}%`
  const documentation = read('docs/lora.md')
  expect(documentation).toContain(`| rank 8 | ${percent(ratios.decode8)} | ${percent(ratios.prompt8)} |`)
  expect(documentation).toContain(`| rank 16 | ${percent(ratios.decode16)} | ${percent(ratios.prompt16)} |`)
})

it('says of smaller Gemmas what was measured', () => {
  const { ratios }: Report<ShapeRatios> = JSON.parse(read('bench/results/shapes.json'))
  const { decode270m, longDecode270m, decode1b } = ratios
  const documentation = read('docs/models.md')
  expect(documentation).toContain(
    `| Gemma 3 270M | ${decode270m?.toFixed(1)} | ${longDecode270m?.toFixed(1)} |`,
  )
  expect(documentation).toContain(`| Gemma 3 1B | ${decode1b?.toFixed(1)} | |`)
})

it('says of choices that are scored together what was measured', () => {
  const { questions }: ScoreReport = JSON.parse(read('bench/results/score.json'))
  const [plain, shots] = questions
  const documentation = read('docs/evaluation.md')
  expect(documentation).toContain(
    `take ${plain!.ratio.toFixed(2)} times as long when each is scored alone behind a question of ${plain!.promptTokens} tokens`,
  )
  expect(documentation).toContain(
    `${shots!.ratio.toFixed(2)} times behind one with five shots, of ${shots!.promptTokens}`,
  )
})
