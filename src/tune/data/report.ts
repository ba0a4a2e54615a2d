/** The report of tuning data: what was dropped and why, how long the rows are, and some of them to look through. */
import type { Bars } from '../../chart/chart.ts'
import type { Report, Table } from '../../eval/report.ts'
import { TOGETHER } from './kept-rows.ts'
import { LONGEST_RUN, SHORTEST_RUN } from './leakage.ts'
import { RUN_WORDS } from './near-duplicates.ts'
import { REASONS, type Reason } from './rejection.ts'
import type { DataSummary, Lengths } from './summary.ts'

const whole = new Intl.NumberFormat('en')
const format = (value: number): string => whole.format(value)
const percent = (count: number, of: number): string => `${((100 * count) / of).toFixed(1)}%`

/** @param tokens of each row that stays */
export function toDataReport(summary: DataSummary, tokens: readonly number[]): Report {
  const { rows, kept, truncated, train, eval: held } = summary
  const cut = truncated > 0 ? `, ${format(truncated)} of them cut to the context` : ''
  return {
    title: 'Tuning data',
    lead: `${format(kept)} of ${format(rows)} rows stay${cut}: ${format(train.rows)} to train with, ${format(held.rows)} to evaluate with.`,
    warnings: warningsOf(summary),
    sections: [
      { title: 'Rows', charts: dropChart(summary), tables: [dropTable(summary)] },
      { title: 'Lengths', charts: [lengthChart(tokens)], tables: [lengthTable(summary)] },
      { title: 'Files', charts: [], tables: [fileTable(summary)] },
    ],
    notes: notesOf(summary),
  }
}

function dropped(summary: DataSummary): (readonly [Reason, number])[] {
  return Object.entries(summary.dropped) as [Reason, number][]
}

function dropChart(summary: DataSummary): Bars[] {
  const bars = dropped(summary).map(([reason, value]) => ({ label: REASONS[reason], value }))
  return bars.length === 0 ? [] : [{ kind: 'bars', title: 'Rows dropped, by the first reason', bars, format }]
}

function dropTable(summary: DataSummary): Table {
  const { rows, kept } = summary
  const line = (name: string, count: number): string[] => [name, format(count), percent(count, rows)]
  return {
    caption: 'What became of all rows',
    columns: ['', 'rows', 'share'],
    rows: [
      line('kept', kept),
      ...dropped(summary).map(([reason, count]) => line(REASONS[reason], count)),
      line('all', rows),
    ],
  }
}

/** The shortest class; each is twice as long as the one before. */
const FIRST_LENGTH = 32

function lengthChart(tokens: readonly number[]): Bars {
  const counts: number[] = []
  for (const count of tokens) {
    const at = Math.max(0, Math.ceil(Math.log2(count / FIRST_LENGTH)))
    counts[at] = (counts[at] ?? 0) + 1
  }
  const bars = Array.from(counts, (value = 0, at) => {
    const to = FIRST_LENGTH * 2 ** at
    return { label: at === 0 ? `up to ${format(to)}` : `${format(to / 2 + 1)} to ${format(to)}`, value }
  })
  return { kind: 'bars', title: 'Rows kept, by their length in tokens', bars, format }
}

function lengthTable({ tokens, train, eval: held }: DataSummary): Table {
  const line = (name: string, { total, mean, median, p95, max }: Lengths): string[] => [
    name,
    format(total),
    format(mean),
    format(median),
    format(p95),
    format(max),
  ]
  return {
    caption: 'Tokens, with the template',
    columns: ['', 'all', 'mean', 'median', '95% below', 'most'],
    rows: [line('kept', tokens), line('train.jsonl', train.tokens), line('eval.jsonl', held.tokens)],
  }
}

function fileTable({ files }: DataSummary): Table {
  return {
    caption: 'What was read',
    columns: ['file', 'rows', 'kept', 'bytes', 'sha256'],
    rows: files.map(({ file, rows, kept, sizeBytes, sha256 }) => [
      file,
      format(rows),
      format(kept),
      format(sizeBytes),
      sha256.slice(0, 16),
    ]),
  }
}

function warningsOf({ settings, eval: held }: DataSummary): string[] {
  const { benchmarks, personalData, skip, evalShare } = settings
  return [
    ...(evalShare > 0 && held.rows === 0
      ? ['Nothing is left to evaluate with: the rows are so much alike that none can be set apart.']
      : []),
    ...(benchmarks.length === 0
      ? ['Nothing says whether benchmark questions are in the data: none were named with --benchmarks.']
      : []),
    ...(personalData === 'none' ? ['Nobody has looked for personal data.'] : []),
    ...skip.filter((check) => check !== 'personal-data').map((check) => `Not checked: ${REASONS[check]}.`),
  ]
}

function notesOf({ settings }: DataSummary): string[] {
  const { seed, nearDuplicates, contextTokens, model, benchmarks, judge } = settings
  return [
    `Lengths are counted with the tokenizer of ${model}; a row may have ${format(contextTokens)} tokens.`,
    `Near duplicates have ${Math.round(100 * nearDuplicates)}% of their runs of ${RUN_WORDS} words in common, estimated by MinHash to within some 4%: rows about as similar as that may fall on either side.`,
    `The split was drawn with the seed ${seed}. Rows with the same question, and rows of which ${100 * TOGETHER}% is the same, are on one side.`,
    ...(benchmarks.length > 0
      ? [
          `A benchmark question is one of which ${LONGEST_RUN} words in a row stand in the row, or all of a shorter one down to ${SHORTEST_RUN} (Brown et al. 2020): ${benchmarks.map(toChecked).join(', ')}.`,
        ]
      : []),
    judge === undefined
      ? 'Toxic text was looked for by words alone; a judge such as ShieldGemma, named with --guard, finds more.'
      : `Every answer was judged by ${judge}.`,
    'Every row that was dropped stands in dropped.jsonl, with its file, line and reason.',
  ]
}

function toChecked({ title, questions, tooShort }: DataSummary['settings']['benchmarks'][number]): string {
  const less = tooShort > 0 ? `, ${format(tooShort)} of them too short to be checked` : ''
  return `${title} (${format(questions)} questions${less})`
}
