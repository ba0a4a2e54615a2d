/** What the client's tests talk to: an injected fetch that plays a script, and a clock that is wound by hand. */
import type { Clock } from '../../src/client/deadline.ts'

export interface Call {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly body: Record<string, unknown>
  readonly signal: AbortSignal
}

export interface FakeFetch {
  readonly fetch: typeof globalThis.fetch
  readonly calls: Call[]
}

/** Answers every request with what `answer` makes. */
export function fakeFetch(answer: (call: Call) => Response | Promise<Response>): FakeFetch {
  const calls: Call[] = []
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init)
    const text = await request.text()
    const { url, method, headers } = request
    const call = { url, method, headers, body: text ? JSON.parse(text) : {}, signal: init!.signal! }
    calls.push(call)
    return answer(call)
  }
  return { fetch, calls }
}

/** A body that gives these pieces and then ends, stalls, breaks, or goes on as `after` says. */
export function body(
  pieces: readonly string[],
  after: 'end' | 'stall' | 'break' | ((control: ReadableStreamDefaultController<Uint8Array>) => void) = 'end',
  onCancel: () => void = () => {},
): ReadableStream<Uint8Array> {
  const rest = [...pieces]
  const source: UnderlyingDefaultSource<Uint8Array> = {
    pull(control) {
      const piece = rest.shift()
      if (piece !== undefined) control.enqueue(new TextEncoder().encode(piece))
      else if (after === 'end') control.close()
      else if (after === 'break') control.error(new TypeError('terminated'))
      else if (after !== 'stall') after(control)
    },
    cancel: onCancel,
  }
  // Nothing is made before it is asked for.
  return new ReadableStream(source, { highWaterMark: 0 })
}

export function eventStream(stream: ReadableStream<Uint8Array> | string): Response {
  return new Response(stream, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } })
}

export const data = (json: unknown): string => `data: ${JSON.stringify(json)}\n\n`

export const text = (content: string, more: object = {}): string =>
  data({ id: 'chatcmpl-1', model: 'tiny', choices: [{ index: 0, delta: { content }, ...more }] })

export const finish = (reason = 'stop'): string =>
  data({ id: 'chatcmpl-1', model: 'tiny', choices: [{ index: 0, delta: {}, finish_reason: reason }] })

export const usage = (prompt: number, completion: number): string =>
  data({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: completion } })

export const done = 'data: [DONE]\n\n'

/** A clock that stands still until it is wound. */
export class FakeClock implements Clock {
  nowMs: number = Date.UTC(2026, 0, 1)
  #ticksMs = 0
  readonly #timers = new Set<{ atMs: number; delayMs: number; callback: () => void }>()
  readonly #watchers = new Set<() => void>()

  now(): number {
    return this.nowMs
  }

  ticks(): number {
    return this.#ticksMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#ticksMs + delayMs, delayMs, callback }
    this.#timers.add(timer)
    for (const watch of this.#watchers) watch()
    return () => this.#timers.delete(timer)
  }

  get pending(): number {
    return this.#timers.size
  }

  advance(ms: number): void {
    this.nowMs += ms
    this.#ticksMs += ms
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.#ticksMs) continue
      this.#timers.delete(timer)
      timer.callback()
    }
  }

  /** Waits until someone waits this long, then lets that time pass. */
  async expire(delayMs: number): Promise<void> {
    await this.waited(delayMs)
    this.advance(delayMs)
  }

  /** Waits until someone waits this long. */
  async waited(delayMs: number): Promise<void> {
    const waits = (): boolean => [...this.#timers].some((timer) => timer.delayMs === delayMs)
    await new Promise<void>((resolve) => {
      const watch = (): void => {
        if (!waits()) return
        this.#watchers.delete(watch)
        resolve()
      }
      this.#watchers.add(watch)
      watch()
    })
  }
}
