/** A JSON file that is one long list of rows, or rows one after another: cut apart while it is read. */
import { type RowAt, unreadable } from './row-at.ts'

const [QUOTE, BACKSLASH, NEWLINE] = [0x22, 0x5c, 0x0a]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT, COMMA] = [0x5b, 0x5d, 0x7b, 0x7d, 0x2c]
const BYTE_ORDER_MARK: readonly number[] = [0xef, 0xbb, 0xbf]
/** Of a row that is no JSON, what is kept. */
const KEPT_CHARACTERS = 10_000

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)

/**
 * The rows of a list, each parsed alone; only one is held at a time.
 *
 * @throws FacetError invalid_request with the line, where brackets do not pair: what follows could not be told apart
 */
export async function* readJsonList(chunks: AsyncIterable<Uint8Array>, file: string): AsyncGenerator<RowAt> {
  const cutter = new Cutter(file)
  for await (const chunk of chunks) yield* cutter.push(chunk)
  cutter.end()
}

class Cutter {
  readonly #file: string
  /** Of the row: how many brackets are open. */
  #depth = 0
  #inList = false
  #inString = false
  #escaped = false
  #line = 1
  #rowLine = 1
  #position = 0
  /** Of a row that goes on in the next chunk, what has been seen. */
  #open: Uint8Array[] = []
  /** A list was closed: nothing may follow. */
  #ended = false

  constructor(file: string) {
    this.#file = file
  }

  *push(chunk: Uint8Array): Generator<RowAt> {
    let from = this.#depth > 0 ? 0 : -1
    for (let at = 0; at < chunk.length; at++, this.#position++) {
      const byte = chunk[at]!
      if (byte === NEWLINE) this.#line++
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) this.#inString = false
      } else if (this.#depth === 0) {
        if (this.#begins(byte)) {
          from = at
          this.#rowLine = this.#line
          this.#depth = 1
        }
      } else if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) this.#depth++
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        if (--this.#depth === 0) {
          yield this.#row(chunk.subarray(from, at + 1))
          from = -1
        }
      }
    }
    if (from >= 0) this.#open.push(chunk.subarray(from))
  }

  /** @throws FacetError where a row or the list is open */
  end(): void {
    if (this.#depth === 0 && (this.#ended || !this.#inList)) return
    const what = this.#depth > 0 ? `the row that begins in line ${this.#rowLine}` : 'the list'
    throw unreadable(this.#file, `ends before ${what} does; it was cut off, so get it whole`)
  }

  /** Between rows: whether one begins. */
  #begins(byte: number): boolean {
    if (isSpace(byte) || BYTE_ORDER_MARK[this.#position] === byte) return false
    if (byte === OPEN_OBJECT && !this.#ended) return true
    if (byte === COMMA && this.#inList) return false
    if (byte === OPEN_LIST && !this.#inList && !this.#ended) {
      this.#inList = true
      return false
    }
    if (byte === CLOSE_LIST && this.#inList && !this.#ended) {
      this.#ended = true
      return false
    }
    throw unreadable(
      this.#file,
      `is no list of rows: line ${this.#line} has ${JSON.stringify(String.fromCharCode(byte))} where a row should begin; mend it, or convert it to JSON lines`,
    )
  }

  #row(piece: Uint8Array): RowAt {
    const bytes = this.#open.length === 0 ? piece : Buffer.concat([...this.#open, piece])
    this.#open = []
    const text = new TextDecoder().decode(bytes)
    try {
      return { line: this.#rowLine, row: JSON.parse(text) as unknown }
    } catch {
      return { line: this.#rowLine, row: text.slice(0, KEPT_CHARACTERS), problem: 'it is no JSON' }
    }
  }
}
