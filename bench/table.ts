/** A report as text for people. */
import type { Report, Result } from './results.ts'

/** Ratios with what they must reach, as `>=` or `<=`. */
const GOALS: readonly (readonly [name: string, pick: (report: Report) => number | null])[] = [
  ['decode against onnxruntime-web', ({ ratios }) => ratios.decode.ortWeb],
  ['decode against wllama', ({ ratios }) => ratios.decode.wllama],
  ['decode against native llama.cpp', ({ ratios }) => ratios.decode.llamaCpp],
  ['decode, share of the bandwidth limit', ({ ratios }) => ratios.decode.bandwidth],
  ['prefill against wllama', ({ ratios }) => ratios.prefill.wllama],
  ['prefill against native llama.cpp', ({ ratios }) => ratios.prefill.llamaCpp],
  ['decode speed, long context against short', ({ ratios }) => ratios.longContext],
  ['tokens/s, 4 sequences against 1', ({ ratios }) => ratios.batch4],
  ['first token, prefix seen against cold', ({ ratios }) => ratios.prefixHit],
  ['peak memory against file and KV', ({ ratios }) => ratios.peakMemory],
  ['load against read and hash', ({ ratios }) => ratios.load],
]

export function toTable(report: Report): string {
  const { machine, model, results } = report
  const rows = results.map(({ engine, metric, unit, reason, ...figures }) => [
    engine,
    metric,
    ...(reason ? ['-', '', ''] : [figures.median, figures.min, figures.max].map(toFigure)),
    reason ?? unit,
  ])
  const ratios = GOALS.map(([name, pick]) => [name, toFigure(pick(report))])
  return [
    `${model.name}, ${model.quantization}, on ${machine.cores} cores of ${machine.cpu}, Node ${machine.node}`,
    '',
    ...columns([['engine', 'metric', 'median', 'min', 'max', 'unit'], ...rows]),
    '',
    ...columns([['ratio', 'value'], ...ratios]),
    '',
  ].join('\n')
}

function toFigure(value: Result['median']): string {
  if (value === null) return '-'
  return value >= 1e6 ? value.toExponential(3) : String(Number(value.toPrecision(4)))
}

/** Figures to the right, words to the left. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows.map((row) =>
    row
      .map((cell, i) => (/^[\d.e+-]+$/.test(cell) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  )
}
