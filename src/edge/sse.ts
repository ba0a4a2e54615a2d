/** Server-sent events as OpenAI sends them: one `data:` line of JSON each, `[DONE]` last. */
import { turn } from '../engine/turn.ts'

const DONE = '[DONE]'
type Item = object | typeof DONE
const encoder = new TextEncoder()

/** What a backend may be ahead of a reader that does not read, and no more. */
const MOST_FRAMES = 32

export interface StreamOptions {
  /** What to send when the source fails; undefined: nobody listens any more. Never followed by `[DONE]`. */
  readonly onError: (error: unknown) => object | undefined
  /** The reader has gone: stop the work. */
  readonly onCancel: () => void
  /** Everything has been handed on, `[DONE]` included. */
  readonly onEnd: () => void
}

/**
 * Takes items only while the reader has room. Frames that are ready before the event loop goes on leave as
 * one chunk: a chunk costs several times what a frame does, and nobody could have had the first one sooner.
 */
export function toEventStream(
  source: AsyncGenerator<readonly object[], void, undefined>,
  options: StreamOptions,
): Response {
  const frames = new Frames(source, options)
  return new Response(
    new ReadableStream<Uint8Array>({
      pull: (controller) => frames.fill(controller),
      cancel: async () => {
        options.onCancel()
        await source.return()
      },
    }),
    {
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        // nginx would collect the stream otherwise.
        'x-accel-buffering': 'no',
      },
    },
  )
}

const { process } = globalThis as { process?: { nextTick?: (resume: () => void) => void } }

/** Resolves before the event loop goes on, where a runtime has a place for that; else within a turn. */
function soon(): Promise<void> {
  const { nextTick } = process ?? {}
  return nextTick ? new Promise((resolve) => nextTick(resolve)) : turn()
}

class Frames {
  readonly #source: AsyncGenerator<readonly object[], void, undefined>
  readonly #options: StreamOptions
  /** Frames that have not been handed on. */
  #text = ''
  #count = 0
  #first = true
  #wanted = false
  #reading = false
  #state: 'open' | 'done' | 'failed' | 'gone' = 'open'
  #arrive = (): void => {}

  constructor(source: AsyncGenerator<readonly object[], void, undefined>, options: StreamOptions) {
    this.#source = source
    this.#options = options
  }

  /** Waits for at least one frame, and hands on what there is before the event loop goes on. */
  async fill(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#wanted = true
    if (!this.#reading) this.#read()
    if (this.#text === '' && this.#state === 'open') {
      await new Promise<void>((resolve) => {
        this.#arrive = resolve
      })
    }
    // The first chunk lets all requests that have come be taken up; those after it are awaited by a reader.
    if (this.#state === 'open') await (this.#first ? turn() : soon())
    this.#first = false
    this.#wanted = false
    if (this.#text !== '') controller.enqueue(encoder.encode(this.#text))
    this.#text = ''
    this.#count = 0
    if (this.#state === 'open') return
    if (this.#state === 'gone') return controller.error(new Error('The reader has gone.'))
    controller.close()
    if (this.#state === 'done') this.#options.onEnd()
  }

  /** Reads on for as long as somebody waits for it, whatever becomes of the frames. */
  async #read(): Promise<void> {
    this.#reading = true
    try {
      while (this.#wanted && this.#state === 'open' && this.#count < MOST_FRAMES) {
        const { done, value } = await this.#source.next()
        if (done) this.#state = 'done'
        for (const item of value ?? ([DONE] as const)) this.#add(item)
      }
    } catch (error) {
      const last = this.#options.onError(error)
      this.#state = last === undefined ? 'gone' : 'failed'
      if (last === undefined) this.#arrive()
      else this.#add(last)
    }
    this.#reading = false
  }

  #add(item: Item): void {
    this.#text += `data: ${item === DONE ? DONE : JSON.stringify(item)}\n\n`
    this.#count++
    this.#arrive()
  }
}
