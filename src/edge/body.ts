/** Reads a request's body as JSON, never more of it than allowed. */
import { FacetError } from '../errors.ts'

/** @throws FacetError request_too_large, invalid_request (not UTF-8, not JSON), aborted */
export async function readJson(request: Request, limitBytes: number): Promise<unknown> {
  const encoding = request.headers.get('content-encoding') ?? 'identity'
  if (encoding.toLowerCase() !== 'identity') {
    throw new FacetError('invalid_request', 'The request body is compressed; send it as plain JSON.', {
      field: 'content-encoding',
      status: 415,
    })
  }
  const text = toText(await readBytes(request, limitBytes))
  if (text.trim() === '') {
    throw new FacetError('invalid_request', 'The request body is empty; send a JSON object.')
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    const place = /position (\d+)/.exec((cause as Error).message)?.[1]
    const where = place === undefined ? '' : ` at character ${place}`
    throw new FacetError(
      'invalid_request',
      `The request body is not valid JSON${where}; check its quotes, commas and brackets.`,
      { cause },
    )
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function toText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new FacetError(
      'invalid_request',
      'The request body is not valid UTF-8; encode the JSON as UTF-8.',
      {
        cause,
      },
    )
  }
}

async function readBytes(request: Request, limitBytes: number): Promise<Uint8Array> {
  const declared = request.headers.get('content-length')
  if (Number(declared) > limitBytes) throw tooLarge(limitBytes)
  if (declared !== null) return readDeclared(request, limitBytes)
  if (request.body === null) return new Uint8Array()
  // Nothing says how much will come: count.
  const reader = request.body.getReader()
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      sizeBytes += value.byteLength
      if (sizeBytes > limitBytes) throw tooLarge(limitBytes)
      chunks.push(value)
    }
  } catch (cause) {
    if (cause instanceof FacetError) throw cause
    throw new FacetError('aborted', 'The request ended before its body was complete.', { cause })
  } finally {
    // Not cancelled: on Node that would cut the connection before the answer is sent.
    reader.releaseLock()
  }
  return concat(chunks, sizeBytes)
}

/**
 * HTTP parsers let through no more than was declared, and have it ready for less than half of what a stream
 * costs. Where none stands before us the body is in memory already, whatever its length.
 */
async function readDeclared(request: Request, limitBytes: number): Promise<Uint8Array> {
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(await request.arrayBuffer())
  } catch (cause) {
    throw new FacetError('aborted', 'The request ended before its body was complete.', { cause })
  }
  if (bytes.byteLength > limitBytes) throw tooLarge(limitBytes)
  return bytes
}

function concat(chunks: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!
  const whole = new Uint8Array(sizeBytes)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}

function tooLarge(limitBytes: number): FacetError {
  const limit = limitBytes < 2 ** 20 ? `${limitBytes} bytes` : `${+(limitBytes / 2 ** 20).toFixed(1)} MiB`
  return new FacetError(
    'request_too_large',
    `The request body is larger than the ${limit} this server takes; send a shorter conversation.`,
  )
}
