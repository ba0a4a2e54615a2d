/** The gates that read measurements: benchmarks against a baseline, memorization, personal data, the tuning data. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FacetError } from '../errors.ts'
import { compareRuns } from '../eval/compare.ts'
import type { StoredRun } from '../eval/kinds.ts'
import type { Figure, Summary } from '../eval/summary.ts'
import { toNumberText } from '../eval/text.ts'
import { readText } from '../text-file.ts'
import type { DataSummary } from '../tune/data/summary.ts'
import { type Finding, failed, notRun, passed, percent } from './gate.ts'
import type { ReleaseLimits } from './limits.ts'

/**
 * Not worse than the baseline: the interval of the difference lies above the margin, for every task of both.
 *
 * @param sha256 of the manifest of the model that is released
 */
export function benchmarkFinding(
  baseline: StoredRun,
  own: StoredRun,
  sha256: string,
  { margin }: ReleaseLimits['benchmark'],
): Finding {
  const measured = Object.values(own.settings.models)[0]
  if (measured?.sha256 !== sha256) {
    return failed(`${own.path} measures ${measured?.id ?? 'another model'}, and not this directory as it is.`)
  }
  const { results } = compareRuns(baseline, own).comparison
  const told = results.map(({ title, measure, difference }) => {
    const sign = measure.higherIsBetter ? 1 : -1
    const { interval, count } = difference
    const gain = sign * difference.difference
    const ends = interval ? [sign * interval[0], sign * interval[1]].toSorted((a, b) => a - b) : undefined
    const holds = ends !== undefined && ends[0]! >= -margin
    const shown = (value: number): string =>
      `${value < 0 ? '-' : '+'}${toNumberText(Math.abs(value), measure.unit)}`
    const range = ends ? `${shown(ends[0]!)} to ${shown(ends[1]!)}` : 'too few for an interval'
    return { holds, text: `${title} ${shown(gain)} (${range}, ${count} questions)` }
  })
  const worse = told.filter(({ holds }) => !holds)
  const limit = `margin ${percent(margin)}`
  return worse.length === 0
    ? passed(`Not worse than the baseline, ${limit}: ${told.map(({ text }) => text).join('; ')}.`)
    : failed(
        `Not shown to be as good as the baseline, ${limit}: ${worse.map(({ text }) => text).join('; ')}.`,
      )
}

/** Whether the shares that are given back, 0 to 1, are within the limits. Not run: there are too few documents. */
export function memorizationFinding(
  summary: Pick<Summary, 'results'>,
  { maxExact, maxApproximate, leastSamples }: ReleaseLimits['memorization'],
): Finding {
  const exact = figureOf(summary, 'exact')
  if (exact.count < leastSamples) return tooFew(exact.count, leastSamples)
  return withinFinding([
    [exact, 'of the documents are given back exactly', maxExact],
    [figureOf(summary, 'approximate'), 'at least approximately', maxApproximate],
  ])
}

/** Of what is memorized, whether little enough is personal. Not run: there are fewer than `leastSamples` documents. */
export function personalDataFinding(
  summary: Pick<Summary, 'results'>,
  { maxPersonal, maxSensitive }: ReleaseLimits['personalData'],
  leastSamples: number,
): Finding {
  const { count } = figureOf(summary, 'exact')
  if (count < leastSamples) return tooFew(count, leastSamples)
  const personal = figureOf(summary, 'personal')
  if (personal.value === null) {
    return passed(`Nothing of ${count} documents was memorized, so that there is nothing to find in it.`)
  }
  return withinFinding([
    [personal, 'of what is memorized holds personal data', maxPersonal],
    [figureOf(summary, 'sensitive'), 'holds sensitive data', maxSensitive],
  ])
}

function tooFew(count: number, least: number): Finding {
  return notRun(
    `${count} documents tell too little; give at least ${least} that are long enough with --corpus.`,
  )
}

function figureOf({ results }: Pick<Summary, 'results'>, name: string): Figure {
  return results[0]!.figures.find((figure) => figure.name === name)!
}

function withinFinding(rows: readonly (readonly [figure: Figure, what: string, most: number])[]): Finding {
  const said = rows.map(([{ value, interval, count }, what, most]) => {
    const range = interval ? `95% interval ${percent(interval[0])} to ${percent(interval[1])}, ` : ''
    return `${percent(value ?? 0)} ${what} (${range}${count} samples, at most ${percent(most)})`
  })
  const within = rows.every(([{ value }, , most]) => value !== null && value <= most)
  return (within ? passed : failed)(`${said.join('; ')}.`)
}

/**
 * @param path of summary.json of `facet tune data`, or of its folder
 * @throws FacetError io_failed, invalid_request
 */
export async function readDataSummary(path: string): Promise<DataSummary> {
  const folder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const file = folder ? join(path, 'summary.json') : path
  const text = await readText(file, {
    field: 'data',
    advice: 'give the folder that facet tune data has written',
  })
  try {
    const summary = JSON.parse(text) as DataSummary
    const { settings, rows, kept, dropped, train } = summary
    if (
      [rows, kept, train.rows].every(Number.isSafeInteger) &&
      typeof dropped === 'object' &&
      typeof settings.personalData === 'string' &&
      Array.isArray(settings.benchmarks)
    )
      return summary
  } catch {
    // Said below, as for a summary that lacks something.
  }
  throw new FacetError('invalid_request', `${file} is no summary of facet tune data; make the data again.`, {
    field: 'data',
  })
}

/** Whether anybody has looked for what the limits name. Not run: there is no summary. */
export function dataFinding(summary: DataSummary | undefined, limits: ReleaseLimits['data']): Finding {
  if (!summary)
    return notRun('Nothing is known of the data; name what facet tune data has written with --data.')
  const { settings, rows, kept } = summary
  const unchecked = [
    ...(limits.personalDataChecked && settings.personalData === 'none' ? ['personal data'] : []),
    ...(limits.benchmarksChecked && settings.benchmarks.length === 0 ? ['questions of benchmarks'] : []),
  ]
  if (unchecked.length > 0)
    return failed(`Nobody has looked for ${unchecked.join(' and ')} in the tuning data.`)
  return passed(
    `${kept} of ${rows} rows were kept; personal data was looked for by ${settings.personalData}.`,
  )
}
