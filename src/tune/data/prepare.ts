/** Makes tuning data of data sets: rows are read as a stream, checked, and split; of all that stays only hashes are held. */
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Disk, disk as realDisk } from '../../convert/output.ts'
import { FacetError } from '../../errors.ts'
import type { Report } from '../../eval/report.ts'
import { toPage } from '../../eval/report-page.ts'
import type { FileEntry } from '../../gemma/manifest.ts'
import { fillFolder, LinesFile, writeText } from '../output.ts'
import { chosenRows } from './groups.ts'
import { splitLines } from './read/lines.ts'
import { REASONS } from './rejection.ts'
import { toDataReport } from './report.ts'
import { Sieve, type SieveOptions } from './sieve.ts'
import { type DataSummary, lengthsOf, type PartSummary } from './summary.ts'

export interface PrepareOptions extends SieveOptions {
  /** A folder that is not there, or empty. */
  readonly out: string
  readonly disk?: Disk
}

export interface PreparedData {
  readonly summary: DataSummary
  readonly report: Report
}

/** Rows that stay, until it is known which part each belongs to. */
const KEPT_FILE = 'kept.jsonl'

/**
 * Writes train.jsonl, eval.jsonl, dropped.jsonl, summary.json and report.html. The same files, settings and seed give
 * the same bytes, if those who are asked answer the same.
 *
 * @throws FacetError invalid_request (a file that cannot be read on, nothing left, something in `out`), io_failed, and
 * what a detector or judge throws
 */
export async function prepareData(options: PrepareOptions): Promise<PreparedData> {
  const { out, disk = realDisk, settings } = options
  return fillFolder(out, async (dir) => {
    const sieve = new Sieve(options)
    await LinesFile.write(disk, dir, 'dropped.jsonl', async (dropped) => {
      await LinesFile.write(disk, dir, KEPT_FILE, (kept) => sieve.run(kept, dropped))
    })
    const { kept, samples, files } = sieve
    if (kept.count === 0) throw nothingLeft(sieve)
    const wanted = evalRows(kept.count, settings.evalShare)
    const chosen = chosenRows(kept.groups, wanted, settings.seed)
    const parts = await split(dir, disk, chosen)
    const partOf = (entry: FileEntry, isEval: 0 | 1): PartSummary => {
      const tokens = kept.tokens.filter((_, row) => chosen[row] === isEval)
      return { rows: tokens.length, sha256: entry.sha256, tokens: lengthsOf(tokens) }
    }
    const summary: DataSummary = {
      settings,
      files,
      rows: files.reduce((sum, { rows }) => sum + rows, 0),
      kept: kept.count,
      truncated: sieve.truncated,
      dropped: Object.fromEntries(sieve.dropped),
      tokens: lengthsOf(kept.tokens),
      train: partOf(parts.train, 0),
      eval: partOf(parts.eval, 1),
    }
    await writeText(disk, dir, 'summary.json', `${JSON.stringify(summary, null, 2)}\n`)
    const report = toDataReport(summary, kept.tokens)
    const titles = Object.fromEntries(files.map(({ file }) => [file, file]))
    await writeText(disk, dir, 'report.html', toPage(report, { views: samples.views(), titles }))
    await rm(join(dir, KEPT_FILE))
    return { summary, report }
  })
}

/** At least one where there are two, so that there is something to evaluate with. */
function evalRows(count: number, share: number): number {
  if (share === 0) return 0
  return Math.min(count - 1, Math.max(1, Math.round(count * share)))
}

async function split(
  dir: string,
  disk: Disk,
  chosen: Uint8Array,
): Promise<{ readonly train: FileEntry; readonly eval: FileEntry }> {
  let trained: FileEntry | undefined
  const evaluated = await LinesFile.write(disk, dir, 'eval.jsonl', async (toEval) => {
    trained = await LinesFile.write(disk, dir, 'train.jsonl', async (toTrain) => {
      let row = 0
      for await (const { bytes } of splitLines(createReadStream(join(dir, KEPT_FILE)), Infinity)) {
        await (chosen[row] ? toEval : toTrain).append(bytes!)
        row++
      }
    })
  })
  return { train: trained!, eval: evaluated }
}

function nothingLeft({ files, dropped, first }: Sieve): FacetError {
  const rows = files.reduce((sum, file) => sum + file.rows, 0)
  const why = [...dropped].map(([reason, count]) => `${count} ${REASONS[reason]}`).join(', ')
  return new FacetError(
    'invalid_request',
    rows === 1
      ? `The only row is not left: ${first}.`
      : `None of the ${rows} rows is left (${why}); the first of them is ${first}.`,
    { field: 'files' },
  )
}
