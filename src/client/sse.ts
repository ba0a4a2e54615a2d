/** Server-sent events out of bytes, as the HTML standard's "event stream interpretation" reads them. */
import { FacetError } from '../errors.ts'

export interface SseEvent {
  /** The `event:` field; `message` where there is none. */
  readonly event: string
  /** The `data:` lines, joined with line feeds. */
  readonly data: string
}

/** Far above any honest chunk; a server that never ends a line must not fill the memory. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024
const LF = 10
const CR = 13

/**
 * An incremental parser: bytes may be cut anywhere, also inside a character or between CR and LF.
 *
 * Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
 * An event that the stream's end cuts off is dropped, as the standard says. `id` and `retry` serve
 * reconnection, which an answer that is being generated does not have; they are ignored.
 */
export class SseParser {
  // Strips a leading byte order mark and keeps the bytes of an unfinished character.
  readonly #decoder = new TextDecoder()
  readonly #maxEventChars: number
  #line = ''
  #afterCr = false
  #event = ''
  #data: string[] = []
  #dataChars = 0

  constructor(maxEventChars: number = MAX_EVENT_CHARS) {
    this.#maxEventChars = maxEventChars
  }

  /**
   * The events that these bytes complete.
   *
   * @throws FacetError bad_response when one event grows past the limit
   */
  push(bytes: Uint8Array): SseEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true })
    const events: SseEvent[] = []
    let start = 0
    for (let at = 0; at < text.length; at++) {
      const char = text.charCodeAt(at)
      const lineEnds = char === CR || (char === LF && !this.#afterCr)
      if (lineEnds) {
        const event = this.#take(this.#line + text.slice(start, at))
        if (event) events.push(event)
        this.#line = ''
      }
      if (char === CR || char === LF) start = at + 1
      this.#afterCr = char === CR
    }
    this.#line += text.slice(start)
    this.#bound(this.#line.length)
    return events
  }

  /** Takes one whole line; an empty one completes the event. */
  #take(line: string): SseEvent | undefined {
    if (line === '') return this.#complete()
    this.#bound(line.length)
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#event = value
    if (field === 'data') {
      this.#data.push(value)
      this.#dataChars += value.length + 1
    }
    return undefined
  }

  #complete(): SseEvent | undefined {
    const event = this.#data.length
      ? { event: this.#event || 'message', data: this.#data.join('\n') }
      : undefined
    this.#event = ''
    this.#data = []
    this.#dataChars = 0
    return event
  }

  #bound(lineChars: number): void {
    if (this.#dataChars + lineChars <= this.#maxEventChars) return
    throw new FacetError(
      'bad_response',
      `The server sent an event of more than ${this.#maxEventChars} characters, which no answer needs.`,
    )
  }
}
