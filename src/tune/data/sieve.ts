/** Lets the rows of all files pass in order: each is kept or dropped, counted, and written down. */
import type { Clock } from '../../client/deadline.ts'
import type { LinesFile } from '../output.ts'
import { KeptRows } from './kept-rows.ts'
import { type RowAt, unreadable } from './read/row-at.ts'
import type { Source } from './read/source.ts'
import { REASONS, type Reason, Rejection } from './rejection.ts'
import { RowSamples, toPlain } from './row-samples.ts'
import { type Checks, patient, type Sifted, sift } from './sifter.ts'
import type { DataSettings, FileSummary } from './summary.ts'

export interface SieveOptions {
  readonly sources: readonly Source[]
  readonly checks: Checks
  readonly settings: DataSettings
  readonly signal: AbortSignal
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
  /** By which services that fail are asked again. */
  readonly clock?: Clock
}

/** Rows that are checked at the same time: as many may wait for a judge. */
const BATCH_ROWS = 32
/** What a row takes at least, nearly always: by it room for hashes is set aside. */
const ROW_BYTES = 512

/** One pass over all files. */
export class Sieve {
  readonly kept: KeptRows
  readonly samples: RowSamples
  readonly files: FileSummary[] = []
  /** In the order of the checks. */
  readonly dropped: Map<Reason, number> = new Map()
  /** For whoever finds nothing left. */
  first: string | undefined
  truncated = 0
  readonly #options: SieveOptions
  readonly #checks: Checks
  readonly #totalBytes: number
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal

  constructor(options: SieveOptions) {
    const { sources, settings } = options
    this.#options = options
    this.#checks = patient(options.checks, options.clock)
    this.#totalBytes = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    this.samples = new RowSamples(settings.seed)
    this.kept = new KeptRows({
      nearDuplicates: settings.skip.includes('near-duplicate') ? undefined : settings.nearDuplicates,
      duplicates: !settings.skip.includes('duplicate'),
      expected: this.#totalBytes / ROW_BYTES,
    })
  }

  /** @throws FacetError: a file cannot be read on, or has no rows; a service has failed */
  async run(kept: LinesFile, dropped: LinesFile): Promise<void> {
    const { sources, onProgress } = this.#options
    const totalBytes = this.#totalBytes
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
    const known = (sifted: Sifted): boolean => this.#rejectionOf(sifted) !== undefined
    const found = await Promise.all(
      batch.map((row) => sift(row, this.#checks, known, this.#signal).catch(orRejection)),
    ).catch((error: unknown) => {
      // What is still asked about other rows helps nobody any more.
      this.#stop.abort(error)
      throw error
    })
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
