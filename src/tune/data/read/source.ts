/** A file of rows, of whatever type it is: found by looking into it, read as a stream, hashed on the way. */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { AsyncBuffer } from 'hyparquet'
import { FacetError } from '../../../errors.ts'
import { readCsv } from './csv.ts'
import { readJsonList } from './json-list.ts'
import { readLines } from './lines.ts'
import { readParquet } from './parquet.ts'
import { type RowAt, unreadable } from './row-at.ts'

export const FILE_TYPES = ['jsonl', 'json', 'csv', 'tsv', 'parquet'] as const

export type FileType = (typeof FILE_TYPES)[number]

export interface Source {
  /** As the user calls it. */
  readonly file: string
  readonly type: FileType
  readonly sizeBytes: number
  /**
   * The rows, once.
   *
   * @param onBytes told how many bytes of the file are done
   * @throws FacetError invalid_request where it cannot be read on, io_failed
   */
  rows(onBytes: (doneBytes: number) => void): AsyncIterable<RowAt>
  /** Of the bytes, in hexadecimal, once all rows are read. */
  sha256(): string
}

const HEAD_BYTES = 65_536
const CHUNK_BYTES = 2 ** 20

/**
 * @param type left out: by the file's first bytes, and its name where they leave it open
 * @throws FacetError invalid_request (empty, compressed, a folder), io_failed
 */
export async function openSource(file: string, type?: FileType): Promise<Source> {
  const { head, sizeBytes } = await headOf(file)
  if (head.toString('utf8').trim() === '' && sizeBytes <= HEAD_BYTES) {
    throw unreadable(file, 'is empty; leave it out')
  }
  const found = type ?? typeOf(file, head)
  const hash = createHash('sha256')
  let digest: string | undefined
  return {
    file,
    type: found,
    sizeBytes,
    rows(onBytes) {
      if (found === 'parquet') return parquetRows(file, sizeBytes, hash, onBytes)
      const chunks = chunksOf(file, hash, onBytes)
      if (found === 'jsonl') return readLines(chunks)
      return found === 'json' ? readJsonList(chunks, file) : readCsv(chunks, file, delimiterOf(found, head))
    },
    sha256: () => (digest ??= hash.digest('hex')),
  }
}

/** A Parquet file that is in memory. */
export function parquetSource(file: string, bytes: Uint8Array<ArrayBuffer>): Source {
  const { buffer, byteOffset, byteLength } = bytes
  const whole: AsyncBuffer = {
    byteLength,
    slice: (start, end = byteLength) => buffer.slice(byteOffset + start, byteOffset + end),
  }
  return {
    file,
    type: 'parquet',
    sizeBytes: byteLength,
    rows: (onBytes) => readParquet(whole, file, (done, total) => onBytes((byteLength * done) / total)),
    sha256: () => createHash('sha256').update(bytes).digest('hex'),
  }
}

/** The file is read twice: by its index, and from one end to the other for its hash. */
async function* parquetRows(
  file: string,
  sizeBytes: number,
  hash: Hash,
  onBytes: (doneBytes: number) => void,
): AsyncGenerator<RowAt> {
  const { asyncBufferFromFile } = await import('hyparquet')
  const buffer = await asyncBufferFromFile(file)
  yield* readParquet(buffer, file, (done, total) => onBytes((sizeBytes * done) / total))
  for await (const _ of chunksOf(file, hash, () => {}));
}

async function* chunksOf(
  file: string,
  hash: Hash,
  onBytes: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let doneBytes = 0
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
      hash.update(chunk)
      yield chunk
      doneBytes += chunk.length
      onBytes(doneBytes)
    }
  } catch (error) {
    throw toReadError(file, error)
  }
}

async function headOf(file: string): Promise<{ head: Buffer; sizeBytes: number }> {
  try {
    const found = await stat(file)
    if (found.isDirectory()) throw unreadable(file, 'is a folder; name the files in it')
    const handle = await open(file)
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
      return { head: buffer.subarray(0, bytesRead), sizeBytes: found.size }
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw toReadError(file, error)
  }
}

function toReadError(file: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof FacetError || code === undefined) return error
  const problem = code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`
  return new FacetError('io_failed', `${file} ${problem}; check the name.`, { field: 'files', cause: error })
}

/** By the first bytes; a name counts where they could be of several types. */
export function typeOf(file: string, head: Buffer): FileType {
  const ending = /\.(jsonl|ndjson|json|csv|tsv|parquet)$/i.exec(file)?.[1]?.toLowerCase()
  const magic = head.toString('latin1', 0, 4)
  if (magic === 'PAR1' || ending === 'parquet') return 'parquet'
  if (magic.startsWith('\x1f\x8b')) throw unreadable(file, 'is compressed; unpack it with gunzip')
  if (magic.startsWith('PK')) {
    throw unreadable(file, 'is a zip archive; unpack it, and name the files in it')
  }
  const [line = '', ...more] = head
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .trimStart()
    .split('\n')
  if (line.startsWith('[')) return 'json'
  if (ending === 'jsonl' || ending === 'ndjson') return 'jsonl'
  if (line.startsWith('{')) {
    const isWhole = more.length > 0 || head.length < HEAD_BYTES
    return (isWhole ? isJson(line) : ending !== 'json') ? 'jsonl' : 'json'
  }
  return ending === 'tsv' ? 'tsv' : 'csv'
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Of a CSV file, whichever stands most often between the names of its columns. */
function delimiterOf(type: FileType, head: Buffer): string {
  if (type === 'tsv') return '\t'
  const [names = ''] = head.toString('utf8').trimStart().split('\n')
  const counted = [',', ';', '\t'].map((mark) => ({ mark, count: names.split(mark).length }))
  return counted.reduce((best, one) => (one.count > best.count ? one : best)).mark
}
