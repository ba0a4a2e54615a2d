/** Time that passes only when nothing else is left to do, and backends that live in it. */
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../src/client/deadline.ts'
import type { FacetError } from '../../src/errors.ts'
import type { Backend, CallOptions, ChatEvent, ChatRequest, ModelSpec } from '../../src/types.ts'

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class SimulatedClock implements Clock {
  /** What the wall says; may be set to jump. */
  offsetMs: number = Date.UTC(2026, 0, 1)
  #nowMs = 0
  /** Soonest last. */
  readonly #timers: Timer[] = []
  #cancelled = new Set<Timer>()

  now(): number {
    return this.#nowMs + this.offsetMs
  }

  ticks(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    let low = 0
    let high = this.#timers.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#timers[middle]!.atMs > timer.atMs) low = middle + 1
      else high = middle
    }
    this.#timers.splice(low, 0, timer)
    return () => void this.#cancelled.add(timer)
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(ms, resolve)
      const abort = (): void => {
        cancel()
        reject(signal!.reason)
      }
      if (signal?.aborted) abort()
      else signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** Lets time pass until the work is done. */
  async run<T>(work: Promise<T>): Promise<T> {
    const settled = work.then(
      () => true,
      () => true,
    )
    for (;;) {
      if (await Promise.race([settled, setImmediate(false)])) return work
      this.#step()
    }
  }

  /** Goes to the next moment that anybody waits for. */
  #step(): void {
    let timer = this.#timers.pop()
    while (timer && this.#cancelled.delete(timer)) timer = this.#timers.pop()
    if (!timer) throw new Error('Everybody waits, and nobody for the clock.')
    this.#nowMs = timer.atMs
    timer.callback()
    while (this.#timers.at(-1)?.atMs === this.#nowMs) {
      const next = this.#timers.pop()!
      if (!this.#cancelled.delete(next)) next.callback()
    }
  }
}

/** What a simulated backend does with one call. */
export type Plot = (stage: {
  readonly n: number
  readonly request: ChatRequest
  readonly options: CallOptions
}) => AsyncIterable<ChatEvent>

export interface Actor extends Backend {
  readonly calls: { readonly request: ChatRequest; readonly options: CallOptions }[]
}

/** A backend that plays a plot, and remembers who called. */
export function actor(name: string, plot: Plot, model: Partial<ModelSpec> = {}): Actor {
  const calls: Actor['calls'] = []
  return {
    name,
    model: { id: name, ...model },
    calls,
    chat(request, options = {}) {
      const n = calls.push({ request, options })
      return plot({ n, request, options })
    },
  }
}

export const USAGE = { promptTokens: 5, completionTokens: 2 }

export const start = (backend: string): ChatEvent => ({ type: 'start', id: '1', model: backend, backend })

export const text = (content: string, ...logprobs: number[]): ChatEvent => ({
  type: 'text',
  text: content,
  ...(logprobs.length > 0 && {
    logprobs: logprobs.map((logprob) => ({ id: 1, text: content, logprob })),
  }),
})

export const finish = (reason: 'stop' | 'length' = 'stop'): ChatEvent => ({
  type: 'finish',
  reason,
  usage: USAGE,
})

/** Answers with these words. */
export const says = (name: string, ...words: readonly string[]): Plot =>
  async function* () {
    yield start(name)
    for (const word of words.length > 0 ? words : [name]) yield text(word)
    yield finish()
  }

/** Fails with the errors in turn, then answers; the last one for ever where it is the only one. */
export const fails = (
  error: () => FacetError,
  times: number = Number.POSITIVE_INFINITY,
  then: Plot = says('recovered'),
): Plot =>
  async function* (stage) {
    if (stage.n <= times) throw error()
    yield* then(stage)
  }
