/** CSV and TSV files with names in their first row, by the package csv-parse. */
import { Readable } from 'node:stream'
import { FacetError } from '../../../errors.ts'
import { type RowAt, unreadable } from './row-at.ts'

/** Of a row that cannot be read, what is kept. */
const KEPT_CHARACTERS = 10_000
/** One field of more is a quote that was never closed. */
const LONGEST_RECORD = 64 * 2 ** 20

/**
 * @param delimiter between fields
 * @throws FacetError unsupported (csv-parse is missing), invalid_request where no row can be told from the next
 */
export async function* readCsv(
  chunks: AsyncIterable<Uint8Array>,
  file: string,
  delimiter: string,
): AsyncGenerator<RowAt> {
  const { parse, CsvError } = await import('csv-parse').catch((cause: unknown) => {
    throw new FacetError(
      'unsupported',
      'Reading CSV needs the package csv-parse; run npm install csv-parse.',
      {
        cause,
      },
    )
  })
  /** Rows that were passed over since the last that was read. */
  let skipped: RowAt[] = []
  const parser = parse({
    bom: true,
    columns: true,
    delimiter,
    info: true,
    max_record_size: LONGEST_RECORD,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_skip: (error, raw) => {
      const line = Number(error?.lines ?? 1)
      skipped.push({ line, row: raw?.slice(0, KEPT_CHARACTERS) ?? null, problem: problemOf(error) })
      return undefined
    },
  })
  const source = Readable.from(chunks)
  source.on('error', (error) => parser.destroy(error))
  source.pipe(parser)
  let line = 2
  try {
    for await (const found of parser) {
      yield* skipped
      skipped = []
      const { record, info } = found as { record: unknown; info: { lines: number } }
      yield { line, row: record }
      line = info.lines + 1
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw unreadable(file, `is no CSV that can be read: ${error.message.replace(/\.$/, '')}; mend it`, error)
  }
  yield* skipped
}

function problemOf(error: Error | undefined): string {
  return error ? error.message.replace(/^[^:]*: /, '').replace(/\.?$/, '') : 'it cannot be read'
}
