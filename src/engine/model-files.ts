/** Where a model directory's files come from, and their bytes, checked against the manifest as they arrive. */
import { FacetError } from '../errors.ts'
import { CHUNK_BYTES, type FileEntry } from '../gemma/manifest.ts'

/** In bytes; the end is exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Read access to a model directory, wherever it is. */
export interface ModelFiles {
  /** The directory or address, for messages. */
  readonly location: string
  /** Undefined when there is no such file. */
  size(path: string): Promise<number | undefined>
  /** The file, or a range of it. Undefined when there is no such file. */
  open(path: string, range?: ByteRange): Promise<ReadableStream<Uint8Array> | undefined>
}

/** @param base address of the directory; a slash at its end is optional */
export function filesFromUrl(base: string, fetch: typeof globalThis.fetch = globalThis.fetch): ModelFiles {
  const root = base.endsWith('/') ? base : `${base}/`
  const request = async (path: string, init: RequestInit): Promise<Response | undefined> => {
    const url = root + path.split('/').map(encodeURIComponent).join('/')
    let response: Response
    try {
      response = await fetch(url, init)
    } catch (cause) {
      throw new FacetError('connection_failed', `${url} could not be reached; check the address.`, { cause })
    }
    if (response.ok) return response
    await response.body?.cancel()
    if (response.status === 404) return undefined
    throw new FacetError('bad_response', `${url} answered ${response.status}; check the address.`)
  }
  return {
    location: base,
    size: async (path) => {
      const length = (await request(path, { method: 'HEAD' }))?.headers.get('content-length')
      return length ? Number(length) : undefined
    },
    open: async (path, range) => {
      const headers = range ? { range: `bytes=${range.start}-${range.end - 1}` } : {}
      const response = await request(path, { headers })
      const body = response && (response.body ?? new ReadableStream({ start: (empty) => empty.close() }))
      if (!range || !body) return body
      // A server may ignore ranges and send the whole file: what was not asked for is passed over.
      if (response.status !== 206) return body.pipeThrough(cutStream(range))
      const sent = response.headers.get('content-range')
      if (sent === null || sent.startsWith(`bytes ${range.start}-`)) return body
      await body.cancel()
      throw new FacetError(
        'bad_response',
        `${root}${path} was asked for bytes from ${range.start} on, but sent ${sent}; use another server.`,
      )
    },
  }
}

/** Lets a range of a stream through, and nothing else. */
export function cutStream({ start, end }: ByteRange): TransformStream<Uint8Array, Uint8Array> {
  let position = 0
  return new TransformStream({
    transform: (piece, controller) => {
      const from = Math.max(start - position, 0)
      const to = Math.min(end - position, piece.length)
      position += piece.length
      if (from < to) controller.enqueue(piece.subarray(from, to))
      if (position >= end) controller.terminate()
    },
  })
}

/** The whole of a small file that no sum protects. Undefined when there is no such file. */
export async function readSmall(
  files: ModelFiles,
  path: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const stream = await files.open(path)
  return (
    stream &&
    new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer())
  )
}

export interface ReadOptions {
  /** Compare every chunk's sha256. */
  readonly verify: boolean
  /** Told of every piece that arrives. */
  readonly onBytes?: (count: number) => void
  /** Told of every kernel that is compiled for a GPU: how many, of how many that are known so far. */
  readonly onCompiled?: (compiled: number, total: number) => void
  /** Which chunks to read, the last one exclusive. Default: all. */
  readonly chunks?: { readonly first: number; readonly end: number }
}

/** Part of a file, checked; the bytes are overwritten by the next chunk. */
export interface Chunk {
  /** Position in the file. */
  readonly start: number
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Resolves once the bytes are known to be right, at once where nothing is verified. */
  readonly verified: Promise<void>
}

/**
 * Reads a file of the manifest chunk by chunk through one buffer. A chunk is hashed while the caller
 * works on it, and found wrong before the next one is handed out or the loop ends.
 *
 * @throws FacetError invalid_model (missing, truncated or too long), checksum_mismatch (file and range named)
 */
export async function* readChunks(
  files: ModelFiles,
  entry: FileEntry,
  { verify, onBytes, chunks }: ReadOptions,
): AsyncGenerator<Chunk, void> {
  const { path, sizeBytes } = entry
  const from = (chunks?.first ?? 0) * CHUNK_BYTES
  const to = Math.min((chunks?.end ?? Number.POSITIVE_INFINITY) * CHUNK_BYTES, sizeBytes)
  const stream = await files.open(path, from > 0 || to < sizeBytes ? { start: from, end: to } : undefined)
  if (!stream) throw damaged(files, path, 'is missing')
  const source = createSource(stream, onBytes)
  let buffer = allocate(path, Math.min(CHUNK_BYTES, to - from)).buffer
  try {
    for (let start = from; start < to; start += CHUNK_BYTES) {
      const wanted = Math.min(CHUNK_BYTES, to - start)
      const bytes = await source.fill(new Uint8Array(buffer, 0, wanted))
      buffer = bytes.buffer
      if (bytes.length < wanted) {
        throw damaged(files, path, `is truncated: ${start + bytes.length} of ${sizeBytes} bytes are there`)
      }
      if (start + wanted === sizeBytes && (await source.fill(new Uint8Array(1))).length > 0) {
        throw damaged(files, path, `is longer than the ${sizeBytes} bytes that the manifest says`)
      }
      const verified = verify ? checkChunk(files, entry, bytes, start) : Promise.resolve()
      verified.catch(() => {}) // awaited below, once the caller has done its part
      yield { start, bytes, verified }
      await verified
    }
  } catch (cause) {
    if (cause instanceof FacetError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    const message = `${path} in ${files.location} could not be read to its end (${why}); try again.`
    throw new FacetError('io_failed', message, { field: path, cause })
  } finally {
    await source.close().catch(() => {}) // a stream that failed refuses, and has said why above
  }
}

/**
 * Reads a whole file of the manifest into one buffer.
 *
 * @throws FacetError as readChunks, and out_of_memory
 */
export async function readEntry(
  files: ModelFiles,
  entry: FileEntry,
  options: ReadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const whole = allocate(entry.path, entry.sizeBytes)
  for await (const { start, bytes } of readChunks(files, entry, options)) whole.set(bytes, start)
  return whole
}

async function checkChunk(
  files: ModelFiles,
  entry: FileEntry,
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
): Promise<void> {
  if (!globalThis.crypto?.subtle) {
    throw new FacetError(
      'unsupported',
      'The model cannot be verified, because WebCrypto works only on https and localhost; use those, or turn verify off.',
      { field: 'verify' },
    )
  }
  if ((await toSha256(bytes)) === entry.chunks[start / CHUNK_BYTES]) return
  throw new FacetError(
    'checksum_mismatch',
    `${entry.path} in ${files.location} is corrupt between bytes ${start} and ${start + bytes.length - 1}; download or convert the model again.`,
    { field: entry.path },
  )
}

/** In lower-case hexadecimal, as the manifest has it. */
export async function toSha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function allocate(path: string, sizeBytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(sizeBytes)
  } catch (cause) {
    throw new FacetError(
      'out_of_memory',
      `${path} needs ${Math.ceil(sizeBytes / 1e6)} MB of memory, which could not be allocated; use a smaller model.`,
      { field: path, cause },
    )
  }
}

interface Source {
  /**
   * Reads until `into` is full or the stream ends. The buffer is moved, not copied, where the stream allows
   * it: use what is returned, which is shorter only at the end.
   */
  fill(into: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>
  close(): Promise<void>
}

/** Byte streams write straight into our buffer; of others each piece is copied. */
function createSource(stream: ReadableStream<Uint8Array>, onBytes?: (count: number) => void): Source {
  const byob = byteReader(stream)
  if (byob) {
    return {
      fill: async ({ buffer, length }) => {
        let view = new Uint8Array(buffer, 0, 0)
        while (view.length < length) {
          const filled = view.length
          const { done, value } = await byob.read(new Uint8Array(view.buffer, filled, length - filled))
          const count = done ? 0 : value.length
          // A cancelled stream gives no buffer back.
          view = new Uint8Array(value?.buffer ?? new ArrayBuffer(filled), 0, filled + count)
          onBytes?.(count)
          if (done) break
        }
        return view
      },
      close: () => byob.cancel(),
    }
  }
  const reader = stream.getReader()
  let piece = new Uint8Array(0)
  return {
    fill: async (into) => {
      let filled = 0
      while (filled < into.length) {
        if (piece.length === 0) {
          const { done, value } = await reader.read()
          if (done) break
          piece = value as Uint8Array<ArrayBuffer>
          onBytes?.(piece.length)
        }
        const part = piece.subarray(0, into.length - filled)
        into.set(part, filled)
        filled += part.length
        piece = piece.subarray(part.length)
      }
      return into.subarray(0, filled)
    },
    close: () => reader.cancel(),
  }
}

function byteReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: 'byob' })
  } catch {
    return undefined // not a byte stream
  }
}

function damaged(files: ModelFiles, path: string, problem: string): FacetError {
  return new FacetError(
    'invalid_model',
    `${path} in ${files.location} ${problem}; download or convert the model again.`,
    { field: path },
  )
}
