/** Writes preference data as reward models are trained on it, and figures of whatever kind, each beside its report. */
import { mkdir } from 'node:fs/promises'
import { toSvg } from '../../chart/chart.ts'
import { FacetError } from '../../errors.ts'
import type { Report } from '../../eval/report.ts'
import { toPage } from '../../eval/report-page.ts'
import { writeReportFile } from '../../eval/run-folder.ts'
import type { Curated, Preference } from './curate.ts'
import { toPreferenceSamples, toSummary } from './preference-report.ts'

/** @throws FacetError io_failed */
export async function writePreferences(folder: string, curated: Curated, report: Report): Promise<void> {
  await makeFolder(folder)
  await writeReportFile(folder, 'report.html', toPage(report, toPreferenceSamples(curated)))
  await writeReportFile(folder, 'summary.json', `${JSON.stringify(toSummary(curated), null, 2)}\n`)
  await writeReportFile(folder, 'eval.jsonl', toLines(curated.eval))
  // Last: whoever finds it finds the others.
  await writeReportFile(folder, 'train.jsonl', toLines(curated.train))
}

/**
 * Figures as JSON, beside their page and its charts.
 *
 * @param name of the JSON file
 * @throws FacetError io_failed
 */
export async function writeReported(
  folder: string,
  name: string,
  figures: unknown,
  report: Report,
): Promise<void> {
  await makeFolder(folder)
  const charts = report.sections.flatMap((section) => section.charts)
  await writeReportFile(folder, 'report.html', toPage(report))
  if (charts.length > 0) await writeReportFile(folder, 'charts.svg', toSvg(charts, report.title))
  await writeReportFile(folder, name, `${JSON.stringify(figures, null, 2)}\n`)
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new FacetError('io_failed', `${folder} cannot be made (${cause.code}); choose another --out.`, {
      field: 'out',
      cause,
    })
  })
}

function toLines(pairs: readonly Preference[]): string {
  return pairs.map((pair) => `${JSON.stringify(toLine(pair))}\n`).join('')
}

/** As TRL's RewardTrainer reads it: a conversational preference with an explicit prompt. */
function toLine({ prompt, chosen, rejected, margin }: Preference): Readonly<Record<string, unknown>> {
  const answer = (content: string): readonly unknown[] => [{ role: 'assistant', content }]
  return {
    prompt,
    chosen: answer(chosen),
    rejected: answer(rejected),
    ...(margin !== undefined && { margin }),
  }
}
