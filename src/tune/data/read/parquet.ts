/** Parquet files, a row group at a time. */
import type { AsyncBuffer } from 'hyparquet'
import { type RowAt, unreadable } from './row-at.ts'

/**
 * @param onRead told how many rows of how many are read
 * @throws FacetError invalid_request
 */
export async function* readParquet(
  buffer: AsyncBuffer,
  file: string,
  onRead: (done: number, total: number) => void,
): AsyncGenerator<RowAt> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
  try {
    const metadata = await parquetMetadataAsync(buffer)
    const total = Number(metadata.num_rows)
    let start = 0
    for (const { num_rows } of metadata.row_groups) {
      const end = start + Number(num_rows)
      const rows = await parquetReadObjects({ file: buffer, metadata, rowStart: start, rowEnd: end })
      for (const [index, row] of rows.entries()) yield { line: start + index + 1, row }
      onRead(end, total)
      start = end
    }
  } catch (cause) {
    const why = (cause as Error).message.replace(/\.$/, '')
    throw unreadable(file, `is no Parquet file that can be read (${why}); get it again, or convert it`, cause)
  }
}
