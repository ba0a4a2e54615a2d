/** JSON lines, a row each: whatever is wrong with one line does not touch the next. */
import type { RowAt } from './row-at.ts'

/** A line that is longer is no row: it is passed over without being held. */
const LONGEST_BYTES = 64 * 2 ** 20
/** Of a line that is no JSON, what is kept. */
const KEPT_CHARACTERS = 10_000
const NEWLINE = 0x0a
const BYTE_ORDER_MARK = '\ufeff'

/** @param longestBytes of a line that is held */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  longestBytes: number = LONGEST_BYTES,
): AsyncGenerator<RowAt> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let line = 0
  for await (const { bytes, sizeBytes } of splitLines(chunks, longestBytes)) {
    line++
    const row = bytes ? toRow(bytes, line, decoder) : tooLong(line, sizeBytes)
    if (row) yield row
  }
}

export interface Line {
  /** Without its end. Undefined: the line is too long. */
  readonly bytes: Uint8Array | undefined
  readonly sizeBytes: number
}

/** Lines as they stand, empty ones too; what follows the last newline is one if there is anything. */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  longestBytes: number = LONGEST_BYTES,
): AsyncGenerator<Line> {
  let open: Uint8Array[] = []
  let sizeBytes = 0
  const end = (): Line => {
    const bytes = open.length === 1 ? open[0] : Buffer.concat(open)
    const line = { bytes: sizeBytes > longestBytes ? undefined : bytes, sizeBytes }
    open = []
    sizeBytes = 0
    return line
  }
  for await (const chunk of chunks) {
    let from = 0
    for (;;) {
      const at = chunk.indexOf(NEWLINE, from)
      const piece = chunk.subarray(from, at < 0 ? chunk.length : at)
      sizeBytes += piece.length
      if (sizeBytes > longestBytes) open = []
      else if (piece.length > 0) open.push(piece)
      if (at < 0) break
      yield end()
      from = at + 1
    }
  }
  if (sizeBytes > 0) yield end()
}

function tooLong(line: number, bytes: number): RowAt {
  return { line, row: null, problem: `it has ${bytes} bytes, more than any row may` }
}

/** Undefined: the line is empty. */
function toRow(bytes: Uint8Array, line: number, decoder: TextDecoder): RowAt | undefined {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    const row = Buffer.from(bytes).toString('utf8', 0, KEPT_CHARACTERS)
    return { line, row, problem: 'it is not UTF-8' }
  }
  if (line === 1 && text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1)
  if (text.trim() === '') return undefined
  try {
    return { line, row: JSON.parse(text) as unknown }
  } catch {
    return { line, row: text.slice(0, KEPT_CHARACTERS), problem: 'it is no JSON' }
  }
}
