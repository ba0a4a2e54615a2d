/** From a run's summary to its report: figures beside published ones, parts, what it took, and how it was made. */
import type { Chart } from '../chart/chart.ts'
import { PUBLISHED_MODELS, PUBLISHED_SOURCE, publishedOf } from './published.ts'
import type { Report, ReportSection, Table } from './report.ts'
import type { Json, JsonObject } from './run-folder.ts'
import type { Figure, Result, RunKind, RunSettings, Summary } from './summary.ts'
import { toCount, toFigureText, toIntervalText, toNumberText } from './text.ts'

const TITLES = {
  benchmark: 'Benchmarks',
  'side-by-side': 'Side by side',
  memorization: 'Memorization',
} as const

/** Beyond so many parts a chart is longer than anybody looks. */
const MOST_BARS = 60

export function toRunReport(summary: Summary, settings: RunSettings, kind: RunKind): Report {
  const { results, tasks, done, total, notes } = summary
  const names = tasks.map(({ title }) => title).join(', ')
  const compared = results.some(({ name }) => publishedOf(name))
  return {
    title: `${TITLES[summary.kind]}: ${whoOf(summary)}`,
    lead: `${names}; ${toCount(done, 'sample')}.`,
    warnings:
      done < total
        ? [
            `This run is not finished: ${done} of ${total} samples are done (${((100 * done) / total).toFixed(1)}%). Run it again to go on; the figures are of those that are done.`,
          ]
        : [],
    sections: [
      {
        title: 'Results',
        charts: (kind.charts ?? defaultCharts)(summary),
        tables: [resultTable(summary), ...(compared ? [publishedTable(results)] : [])],
      },
      ...results.filter(({ parts }) => parts.length > 1).map(partSection),
      { title: 'What it took', charts: [], tables: [spentTable(summary)] },
      { title: 'Settings', charts: [], tables: [settingsTable(settings), dataTable(settings)] },
    ],
    notes: [
      'Intervals are of 95%: where the figure of endlessly many samples of the same kind would lie. They do not cover how prompts are worded or shots are chosen.',
      ...partly(summary),
      ...(compared
        ? [
            `Published figures: ${PUBLISHED_SOURCE}. They are of pre-trained models, and their prompts were not published.`,
          ]
        : []),
      ...notes,
    ],
  }
}

/** Who is measured, for people: `gemma-2b (int4)`, or `a against b, judged by c`. */
export function whoOf({ models }: Pick<Summary, 'models'>): string {
  const said = ({ id, quantization }: { id: string; quantization?: string | undefined }): string =>
    quantization === undefined ? id : `${id} (${quantization})`
  const { a, b, judge, ...others } = models
  const who = a && b ? `${said(a)} against ${said(b)}` : Object.values(others).map(said).join(', ')
  return judge ? `${who}, judged by ${said(judge)}` : who
}

/** Of a part of what there is. */
function partly({ tasks }: Summary): string[] {
  const parts = tasks.filter(({ samples, of }) => samples < of)
  if (parts.length === 0) return []
  const said = parts.map(({ title, samples, of }) => `${samples} of ${of} of ${title}`).join(', ')
  return [`Samples are a part drawn by the seed: ${said}.`]
}

function resultTable({ results, tasks }: Summary): Table {
  const shown = (name: string): string => String(tasks.find((task) => task.name === name)?.shots ?? '')
  const hasShots = tasks.some(({ shots }) => shots !== undefined)
  return {
    caption: 'Figures by task',
    columns: ['Task', ...(hasShots ? ['Shots'] : []), 'Measure', 'Value', '95% interval', 'Samples'],
    rows: results.flatMap(({ name, title, figures }) =>
      figures.map((figure) => [
        title,
        ...(hasShots ? [shown(name)] : []),
        figure.name,
        toFigureText(figure),
        toIntervalText(figure),
        String(figure.count),
      ]),
    ),
  }
}

function publishedTable(results: readonly Result[]): Table {
  return {
    caption: 'Beside published figures',
    columns: ['Task', 'This run', ...PUBLISHED_MODELS],
    rows: results.flatMap(({ name, title, figures: [first] }) => {
      const published = publishedOf(name)
      if (!published || !first) return []
      return [[title, toFigureText(first), ...published.map((share) => toNumberText(share, 'share'))]]
    }),
  }
}

function partSection({ title, figures: [first], parts }: Result): ReportSection {
  const rows = parts.map(({ name, figures }) => ({ name, figure: figures[0]! }))
  const names = parts[0]!.figures.map(({ name }) => name)
  const chart: Chart | undefined =
    first?.unit === 'share' && rows.length <= MOST_BARS
      ? {
          kind: 'bars',
          title: `${title}, ${first.name}`,
          bars: rows
            .toSorted((a, b) => (b.figure.value ?? -1) - (a.figure.value ?? -1))
            .map(({ name, figure }) => barOf(name, figure)),
          max: 1,
          format: (share) => toNumberText(share, 'share'),
        }
      : undefined
  return {
    title: `${title} by part`,
    charts: chart ? [chart] : [],
    tables: [
      {
        caption: `${title} by part`,
        columns: ['Part', ...names.flatMap((name) => [name, '95% interval']), 'Samples'],
        rows: parts.map(({ name, figures }) => [
          name,
          ...figures.flatMap((figure) => [toFigureText(figure), toIntervalText(figure)]),
          String(Math.max(...figures.map(({ count }) => count))),
        ]),
      },
    ],
  }
}

/** The first figure of each task. */
function defaultCharts({ results }: Summary): Chart[] {
  const bars = results.flatMap(({ title, figures }) =>
    figures
      .filter(({ unit }) => unit === 'share')
      .map((figure, index) => ({ ...barOf(`${title}: ${figure.name}`, figure), chosen: index === 0 })),
  )
  if (bars.length === 0) return []
  const format = (share: number): string => toNumberText(share, 'share')
  return [{ kind: 'bars', title: 'Results', bars, max: 1, format }]
}

export function barOf(
  label: string,
  { value, interval }: Figure,
): { label: string; value: number | null; interval?: readonly [number, number]; chosen: true } {
  return { label, value, ...(interval && { interval }), chosen: true }
}

function spentTable({ spent, done }: Summary): Table {
  const { promptTokens, completionTokens, cost } = spent
  const each = (value: number, digits: number): string => (done === 0 ? '' : (value / done).toFixed(digits))
  return {
    caption: 'Tokens and cost',
    columns: ['', 'In all', 'A sample'],
    rows: [
      ['Prompt tokens', String(promptTokens), each(promptTokens, 1)],
      ['Completion tokens', String(completionTokens), each(completionTokens, 1)],
      cost === undefined
        ? ['Cost', 'not known: the model has no price', '']
        : ['Cost', cost.toFixed(4), each(cost, 6)],
    ],
  }
}

function settingsTable({ tasks, ...settings }: RunSettings): Table {
  const own = tasks.flatMap(({ name, data: _, measures: __, ...rest }) =>
    flat(rest, '').map(([field, value]) => [`${name}: ${field}`, value!]),
  )
  const rows = [...flat(settings, ''), ...own]
  return { caption: 'Settings', columns: ['Setting', 'Value'], rows, words: true }
}

function dataTable({ tasks }: RunSettings): Table {
  return {
    caption: 'Data',
    columns: ['Task', 'File', 'SHA-256'],
    rows: tasks.flatMap(({ title, data }) => data.map(({ file, sha256 }) => [title, file, sha256])),
    words: true,
  }
}

/** One row for each value within, named by its path. */
function flat(value: Json | undefined, path: string): string[][] {
  if (value === undefined) return []
  if (typeof value !== 'object' || value === null) return [[path, String(value)]]
  if (Array.isArray(value)) {
    if (value.every((one) => typeof one !== 'object')) return [[path, value.join(', ')]]
    return value.flatMap((one, index) => flat(one, `${path}[${index}]`))
  }
  return Object.entries(value as JsonObject).flatMap(([name, one]) =>
    flat(one, path === '' ? name : `${path}.${name}`),
  )
}
