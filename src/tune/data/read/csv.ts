/** CSV and TSV files with names in their first row, by the package csv-parse. */
import { FacetError } from '../../../errors.ts'
import { type RowAt, unreadable } from './row-at.ts'

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
  /** In order, what the last piece completed. */
  let rows: RowAt[] = []
  /** Where the next row begins: the first after the names. */
  let line = 2
  const add = (row: unknown, lastLine: number | undefined, problem?: string): void => {
    rows.push({ line, row, ...(problem !== undefined && { problem }) })
    line = (lastLine ?? line) + 1
  }
  const parser = parse({
    bom: true,
    columns: true,
    delimiter,
    max_record_size: LONGEST_RECORD,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_record: (record, { lines }) => {
      add(record, lines)
      return null // nothing is left to be read from the stream
    },
    on_skip: (error, raw) => {
      add(error?.record ?? raw ?? null, Number(error?.lines), error?.message ?? 'it cannot be read')
      return undefined
    },
  })
  // Whoever writes is told of errors.
  parser.on('error', () => {}).resume()
  const write = (chunk: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      parser.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
  const end = (): Promise<void> =>
    new Promise((resolve, reject) => {
      parser.once('error', reject).end(() => resolve())
    })
  const taken = (): RowAt[] => {
    const those = rows
    rows = []
    return those
  }
  try {
    for await (const chunk of chunks) {
      await write(chunk)
      yield* taken()
    }
    await end()
    yield* taken()
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw unreadable(file, `is no CSV that can be read: ${error.message.replace(/\.$/, '')}; mend it`, error)
  } finally {
    parser.destroy()
  }
}
