/** What became of judged pairs, as a report: kept, held out, dropped and why. */
import type { Report, ReportSamples, Table } from '../../eval/report.ts'
import type { SampleView } from '../../eval/summary.ts'
import { toCount, toNumberText } from '../../eval/text.ts'
import { type Curated, DROPS, dropCounts, type Preference } from './curate.ts'
import type { PromptTurn } from './judged.ts'

/** More of a kind nobody looks through. */
const MOST_SAMPLES = 500

export function toPreferenceReport(files: readonly string[], curated: Curated, unjudged: number): Report {
  const { train, eval: held, dropped, warnings } = curated
  return {
    title: 'Preference data',
    lead: `${files.join(', ')}: ${toCount(train.length, 'pair')} to train on, ${held.length} held out, ${dropped.length} dropped.`,
    warnings,
    sections: [{ title: 'Pairs', charts: [], tables: [countTable(curated), lengthTable(curated)] }],
    notes: [
      'Prompts, not pairs, are held out: what a model is tested on it has not seen with other answers either.',
      'Of the same two answers to the same prompt, the way most verdicts go is kept once.',
      ...(unjudged > 0 ? [`${toCount(unjudged, 'pair')} of the runs had no verdict that can be used.`] : []),
    ],
  }
}

/** Dropped pairs first: they are what a reader looks for. */
export function toPreferenceSamples({ train, eval: held, dropped }: Curated): ReportSamples {
  const kept = (part: string, pairs: readonly Preference[]): SampleView[] =>
    pairs.slice(0, MOST_SAMPLES).map(({ place, prompt, chosen, rejected }, at) => ({
      id: `${part} ${at + 1}`,
      task: 'preferences',
      part,
      outcome: 'kept',
      scores: {},
      sections: [text('From', place), ...turnsOf(prompt), text('Chosen', chosen), text('Rejected', rejected)],
    }))
  const views = dropped.slice(0, MOST_SAMPLES).map(
    ({ why, judged }, at): SampleView => ({
      id: `dropped ${at + 1}`,
      task: 'preferences',
      part: 'dropped',
      outcome: DROPS[why],
      tone: 'bad',
      scores: {},
      sections: [
        text('From', judged.place),
        ...turnsOf(judged.prompt),
        text(judged.winner === 'a' ? 'A (preferred)' : 'A', judged.a),
        text(judged.winner === 'b' ? 'B (preferred)' : 'B', judged.b),
      ],
    }),
  )
  return {
    views: [...views, ...kept('train', train), ...kept('held out', held)],
    titles: { preferences: 'Preference data' },
  }
}

function countTable({ train, eval: held, dropped }: Curated): Table {
  const all = train.length + held.length + dropped.length
  const row = (name: string, count: number): string[] => [
    name,
    String(count),
    toNumberText(all === 0 ? 0 : count / all, 'share'),
  ]
  return {
    caption: 'Judged pairs',
    columns: ['', 'Pairs', '%'],
    rows: [
      row('to train on', train.length),
      row('held out', held.length),
      ...dropCounts(dropped).map(([why, count]) => row(`dropped: ${DROPS[why]}`, count)),
    ],
  }
}

function lengthTable({ train, eval: held }: Curated): Table {
  const pairs = [...train, ...held]
  const meanOf = (of: (pair: Preference) => number): string =>
    (pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length).toFixed(0)
  return {
    caption: 'Mean length in characters',
    columns: ['', 'Prompt', 'Chosen', 'Rejected'],
    rows: [
      [
        'kept pairs',
        meanOf(({ prompt }) => prompt.reduce((sum, { content }) => sum + content.length, 0)),
        meanOf(({ chosen }) => chosen.length),
        meanOf(({ rejected }) => rejected.length),
      ],
    ],
  }
}

function turnsOf(prompt: readonly PromptTurn[]): SampleView['sections'] {
  return prompt.map(({ role, content }) => text(`Prompt, ${role}`, content))
}

function text(label: string, content: string): SampleView['sections'][number] {
  return { kind: 'text', label, text: content }
}

/** For machines. */
export function toSummary({
  train,
  eval: held,
  dropped,
  warnings,
}: Curated): Readonly<Record<string, unknown>> {
  return {
    train: train.length,
    eval: held.length,
    dropped: Object.fromEntries(dropCounts(dropped)),
    warnings,
  }
}
