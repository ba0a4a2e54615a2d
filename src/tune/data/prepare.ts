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
import { KeptRows } from './kept-rows.ts'
import { splitLines } from './read/lines.ts'
import { type RowAt, unreadable } from './read/row-at.ts'
import type { Source } from './read/source.ts'
import { REASONS, type Reason, Rejection } from './rejection.ts'
import { toDataReport } from './report.ts'
import { RowSamples, toPlain } from './row-samples.ts'
import { type Checks, type Sifted, sift } from './sifter.ts'
import {
  type DataSettings,
  type DataSummary,
  type FileSummary,
  lengthsOf,
  type PartSummary,
} from './summary.ts'

export interface PrepareOptions {
  readonly sources: readonly Source[]
  /** A folder that is not there, or empty. */
  readonly out: string
  readonly checks: Checks
  readonly settings: DataSettings
  readonly signal: AbortSignal
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
  readonly disk?: Disk
}

export interface PreparedData {
  readonly summary: DataSummary
  readonly report: Report
}

/** Rows that are checked at the same time: as many may wait for a judge. */
const BATCH_ROWS = 32
/** What a row takes at least, nearly always: by it room for hashes is set aside. */
const ROW_BYTES = 512
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

class Sieve {
  readonly kept: KeptRows
  readonly samples: RowSamples
  readonly files: FileSummary[] = []
  /** In the order of the checks. */
  readonly dropped: Map<Reason, number> = new Map()
  /** For whoever finds nothing left. */
  first: string | undefined
  truncated = 0
  readonly #options: PrepareOptions

  constructor(options: PrepareOptions) {
    const { sources, settings } = options
    const totalBytes = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    this.#options = options
    this.samples = new RowSamples(settings.seed)
    this.kept = new KeptRows({
      nearDuplicates: settings.skip.includes('near-duplicate') ? undefined : settings.nearDuplicates,
      duplicates: !settings.skip.includes('duplicate'),
      expected: totalBytes / ROW_BYTES,
    })
  }

  async run(kept: LinesFile, dropped: LinesFile): Promise<void> {
    const { sources, onProgress } = this.#options
    const totalBytes = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const counts = new Map<Reason, number>()
    let before = 0
    for (const source of sources) {
      const { file, type, sizeBytes } = source
      const keptBefore = this.kept.count
      let rows = 0
      let batch: RowAt[] = []
      const onBytes = (bytes: number): void => onProgress?.({ doneBytes: before + bytes, totalBytes })
      const flush = async (): Promise<void> => {
        await this.#sift(batch, file, kept, dropped, counts)
        batch = []
      }
      for await (const row of source.rows(onBytes)) {
        rows++
        batch.push(row)
        if (batch.length === BATCH_ROWS) await flush()
      }
      await flush()
      if (rows === 0) throw unreadable(file, 'has no rows; leave it out')
      before += sizeBytes
      this.files.push({
        file,
        type,
        sizeBytes,
        sha256: source.sha256(),
        rows,
        kept: this.kept.count - keptBefore,
      })
    }
    for (const reason of Object.keys(REASONS) as Reason[]) {
      const count = counts.get(reason)
      if (count !== undefined) this.dropped.set(reason, count)
    }
  }

  /** Checked at the same time, and decided in order: an earlier row is never the duplicate of a later one. */
  async #sift(
    batch: readonly RowAt[],
    file: string,
    kept: LinesFile,
    dropped: LinesFile,
    counts: Map<Reason, number>,
  ): Promise<void> {
    const { checks, signal } = this.#options
    const known = (sifted: Sifted): boolean => this.#rejectionOf(sifted) !== undefined
    const found = await Promise.all(batch.map((row) => sift(row, checks, known, signal).catch(orRejection)))
    for (const [index, result] of found.entries()) {
      const { line, row } = batch[index]!
      const rejection = result instanceof Rejection ? result : this.#rejectionOf(result)
      if (rejection) {
        const { reason, message: detail } = rejection
        counts.set(reason, (counts.get(reason) ?? 0) + 1)
        this.first ??= `${file}, line ${line}: ${detail}`
        this.samples.offer({ file, line, reason, detail, content: row })
        await dropped.append(JSON.stringify({ file, line, reason, detail, row }, toPlain))
      } else if (!(result instanceof Rejection)) {
        this.kept.add(result, file, line)
        if (result.truncated) this.truncated++
        const detail = result.truncated ? 'Its end was left out, so that it fits.' : ''
        this.samples.offer({ file, line, detail, content: result.turns })
        await kept.append(toLine(result))
      }
    }
  }

  #rejectionOf(sifted: Sifted): Rejection | undefined {
    try {
      this.kept.check(sifted)
      return undefined
    } catch (error) {
      return orRejection(error)
    }
  }
}

function orRejection(error: unknown): Rejection {
  if (error instanceof Rejection) return error
  throw error
}

/** As trainers read it: Gemma's template has no other roles, so that any version of it renders the same. */
function toLine({ turns }: Sifted): string {
  const messages = turns.map(({ role, content }) => ({
    role: role === 'user' ? 'user' : 'assistant',
    content,
  }))
  return JSON.stringify({ messages })
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
    `None of the ${rows} rows is left (${why}); the first of them is ${first}.`,
    { field: 'files' },
  )
}
