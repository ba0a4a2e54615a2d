/** A run's metrics as one page that needs nothing else, and reads itself again while the run goes on. */
import type { Report, Table } from '../../eval/report.ts'
import { toPage } from '../../eval/report-page.ts'
import type { JobLine } from '../job/job.ts'
import { lastStep } from '../job/metrics.ts'
import { toCharts, toCurves } from './curve.ts'

export interface CurveOptions {
  /** Of the tuning. */
  readonly name: string
  /** What is trained, on what: one sentence. */
  readonly about?: string
  /** Seconds after which the page is read again; left out: the run has ended. */
  readonly refreshSeconds?: number
}

export function toCurvePage(lines: readonly JobLine[], options: CurveOptions): string {
  const page = toPage(toReport(lines, options))
  const { refreshSeconds } = options
  if (refreshSeconds === undefined) return page
  return page.replace('<head>', `<head>\n<meta http-equiv="refresh" content="${Math.ceil(refreshSeconds)}">`)
}

function toReport(lines: readonly JobLine[], { name, about, refreshSeconds }: CurveOptions): Report {
  const last = lastStep(lines)
  const resumed = lines.filter(({ facet }) => facet === 'resume').length
  const state = last ? `Step ${last.step} of ${last.steps}.` : 'No step has been reported yet.'
  const again = resumed > 0 ? ` Resumed ${resumed === 1 ? 'once' : `${resumed} times`}.` : ''
  return {
    title: `Tuning ${name}`,
    lead: [about, state + again].filter(Boolean).join(' '),
    warnings: [],
    sections: [{ title: 'Curves', charts: toCharts(toCurves(lines)), tables: [tableOf(lines)] }],
    notes: [
      refreshSeconds === undefined
        ? 'Training loss is the mean of the steps since the line before.'
        : `The page is read again every ${Math.ceil(refreshSeconds)} seconds.`,
    ],
  }
}

function tableOf(lines: readonly JobLine[]): Table {
  const rows = lines.flatMap((line): string[][] => {
    if (line.facet === 'step') return [[String(line.step), 'training', line.loss.toFixed(4)]]
    return line.facet === 'eval' ? [[String(line.step), 'held out', line.loss.toFixed(4)]] : []
  })
  return { caption: 'Loss by step', columns: ['step', 'rows', 'nats a token'], rows }
}
