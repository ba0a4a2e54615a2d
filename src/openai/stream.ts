/** A streamed answer as the official package gives it: iterated once, ended by leaving the loop. */
import { carriesError, refusalFrom, toError } from '../client/response-error.ts'
import { SseParser } from '../client/sse.ts'
import { FacetError } from '../errors.ts'

export class Stream<Item> implements AsyncIterable<Item> {
  /** Aborting it ends the answer. */
  readonly controller: AbortController
  readonly #iterate: () => AsyncIterator<Item>
  #taken = false

  constructor(iterate: () => AsyncIterator<Item>, controller: AbortController) {
    this.controller = controller
    this.#iterate = iterate
  }

  [Symbol.asyncIterator](): AsyncIterator<Item> {
    if (this.#taken) {
      throw new FacetError(
        'invalid_request',
        'A stream can be read once; split it with tee() to read it twice.',
      )
    }
    this.#taken = true
    return this.#iterate()
  }

  /** Two streams of the same items; each keeps what the other has not read yet. */
  tee(): [Stream<Item>, Stream<Item>] {
    const [left, right] = this.#toItems().tee()
    const split = (stream: ReadableStream<Item>): Stream<Item> =>
      new Stream(() => stream[Symbol.asyncIterator](), this.controller)
    return [split(left), split(right)]
  }

  /** One JSON document a line. */
  toReadableStream(): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder()
    const toLine = new TransformStream<Item, Uint8Array>({
      transform: (item, control) => control.enqueue(encoder.encode(`${JSON.stringify(item)}\n`)),
    })
    return this.#toItems().pipeThrough(toLine)
  }

  #toItems(): ReadableStream<Item> {
    const items = this[Symbol.asyncIterator]()
    return new ReadableStream<Item>(
      {
        async pull(control) {
          const { done, value } = await items.next()
          if (done) control.close()
          else control.enqueue(value)
        },
        async cancel() {
          await items.return?.()
        },
      },
      { highWaterMark: 0 },
    )
  }
}

/** The chunks of a body of server-sent events. @throws FacetError that the stream carries */
export async function* chunksOf<Item>(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<Item, void, undefined> {
  const parser = new SseParser()
  for await (const bytes of body) {
    for (const { data } of parser.push(bytes)) {
      if (data === '[DONE]') return
      const json: unknown = JSON.parse(data)
      if (carriesError(json)) {
        const refusal = refusalFrom(json)
        throw toError(refusal, refusal.message ?? 'The answer broke off.', {})
      }
      yield json as Item
    }
  }
}
