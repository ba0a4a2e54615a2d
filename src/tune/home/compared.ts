/** A model before and after it was tuned, side by side: what was measured of both. */
import { toColumns } from '../../columns.ts'
import type { Report } from '../../eval/report.ts'
import type { JobLine } from '../job/job.ts'
import { toCharts, toCurves } from './curve.ts'
import type { HeldOutLoss } from './held-out.ts'

/** One figure of both. */
export interface Pair {
  readonly name: string
  readonly before: number
  readonly after: number
}

export interface Comparison {
  readonly name: string
  readonly base: string
  readonly heldOut?: { readonly before: HeldOutLoss; readonly after: HeldOutLoss }
  /** Benchmarks, by the title of each: shares from 0 to 1. */
  readonly benchmarks: readonly Pair[]
  /** What else is to be known of it, in sentences. */
  readonly notes?: readonly string[]
}

export function pairsOf({ heldOut, benchmarks }: Comparison): Pair[] {
  if (!heldOut) return [...benchmarks]
  const { before, after } = heldOut
  return [
    { name: 'loss on held-out rows', before: before.loss, after: after.loss },
    { name: 'perplexity', before: Math.exp(before.loss), after: Math.exp(after.loss) },
    ...benchmarks,
  ]
}

const figure = (value: number): string => (Number.isFinite(value) ? value.toPrecision(4) : 'not measured')
const signed = (value: number): string => `${value > 0 ? '+' : ''}${figure(value)}`

/** For a terminal. */
export function toText(comparison: Comparison): string {
  const pairs = pairsOf(comparison)
  const notes = (comparison.notes ?? []).map((note) => `${note}\n`).join('')
  if (pairs.length === 0) return notes
  const rows = pairs.map(({ name, before, after }) => [
    name,
    figure(before),
    figure(after),
    signed(after - before),
  ])
  return `${toColumns([['', 'before', 'after', 'change'], ...rows]).join('\n')}\n${notes}`
}

/** @param lines of metrics.jsonl, where they are at hand */
export function toComparisonReport(comparison: Comparison, lines: readonly JobLine[] = []): Report {
  const { name, base, heldOut, notes = [] } = comparison
  const rows = pairsOf(comparison).map((pair) => [
    pair.name,
    figure(pair.before),
    figure(pair.after),
    signed(pair.after - pair.before),
  ])
  const table = { caption: 'Before and after', columns: ['', base, name, 'change'], rows }
  const charts = toCharts(toCurves(lines))
  return {
    title: `${name}, tuned from ${base}`,
    lead: heldOut
      ? `Both were asked for the log-likelihood of ${heldOut.after.answers} answers that were held out, ${heldOut.after.tokens} tokens.`
      : 'Both were measured alike.',
    warnings:
      heldOut && heldOut.after.loss > heldOut.before.loss
        ? ['The tuned model is worse than its base on the rows that were held out.']
        : [],
    sections: [
      ...(rows.length > 0 ? [{ title: 'Before and after', charts: [], tables: [table] }] : []),
      ...(charts.length > 0 ? [{ title: 'Training', charts, tables: [] }] : []),
    ],
    notes: [...notes, 'Loss in nats a token of the answers; the ends of turns are not counted.'],
  }
}
