/** When to stop waiting: first content, idle, total and the caller's own signal, as one AbortSignal. */
import { abortedError, FacetError } from '../errors.ts'
import type { CallOptions, Timeouts } from '../types.ts'

/** Time, injected so that tests do not wait. */
export interface Clock {
  /** Unix time in milliseconds, which may jump: for dates. */
  now(): number
  /** Milliseconds since some moment, which never jump: for durations. */
  ticks(): number
  /** Calls back once after `delayMs`; returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void
}

/** Longer delays overflow setTimeout, which then fires at once; no answer takes 24 days. */
const LONGEST_DELAY_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  ticks: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}

type Timer = keyof Timeouts

const EXPIRED: Readonly<Record<Timer, (span: string) => string>> = {
  firstTokenMs: (span) => `sent no content within ${span} (timeouts.firstTokenMs)`,
  idleMs: (span) => `sent no further content for ${span} (timeouts.idleMs)`,
  totalMs: (span) => `did not finish within ${span} (timeouts.totalMs)`,
}

/** One call's timers. Whoever makes it disposes of it. */
export class Deadline {
  readonly #control = new AbortController()
  /** Those who wait, to be told when the signal aborts. */
  readonly #waiting = new Set<(reason: unknown) => void>()
  readonly #running = new Map<Timer, () => void>()
  readonly #timeouts: Timeouts
  readonly #clock: Clock
  readonly #backend: string
  readonly #caller: AbortSignal | undefined

  constructor(timeouts: Timeouts, options: CallOptions, clock: Clock, backend: string) {
    this.#timeouts = timeouts
    this.#clock = clock
    this.#backend = backend
    this.#caller = options.signal
    this.signal.addEventListener('abort', () => {
      for (const reject of this.#waiting) reject(this.signal.reason)
      this.#waiting.clear()
    })
    if (this.#caller?.aborted) this.#callerAborted()
    else this.#caller?.addEventListener('abort', this.#callerAborted, { once: true })
  }

  /** Aborts with the FacetError to throw. */
  get signal(): AbortSignal {
    return this.#control.signal
  }

  /** Starts a timer, or starts it over. */
  start(timer: Timer, delayMs: number = this.#timeouts[timer]): void {
    this.stop(timer)
    if (delayMs > LONGEST_DELAY_MS) return
    const expire = (): void => {
      const message = `${this.#backend} ${EXPIRED[timer](toSpan(delayMs))}.`
      this.#control.abort(new FacetError('timeout', message, { backend: this.#backend }))
    }
    this.#running.set(timer, this.#clock.after(delayMs, expire))
  }

  stop(timer: Timer): void {
    this.#running.get(timer)?.()
    this.#running.delete(timer)
  }

  /** Waits for `work`, or throws as soon as the signal aborts, whether `work` heeds it or not. */
  wait<T>(work: Promise<T>): Promise<T> {
    const { signal } = this
    return new Promise<T>((resolve, reject) => {
      if (signal.aborted) reject(signal.reason)
      // Kept by hand: a listener for each token costs more than the rest of its way through the client.
      this.#waiting.add(reject)
      const settled = (): boolean => this.#waiting.delete(reject)
      work.then(
        (value) => settled() && resolve(value),
        // What a cancelled fetch throws differs from runtime to runtime; why it was cancelled is ours to say.
        (error: unknown) => settled() && reject(signal.aborted ? signal.reason : error),
      )
    })
  }

  /** Ends the call: stops the timers and aborts what still runs. */
  dispose(): void {
    for (const cancel of this.#running.values()) cancel()
    this.#running.clear()
    this.#caller?.removeEventListener('abort', this.#callerAborted)
    this.#control.abort(new FacetError('aborted', 'The caller left the answer.'))
  }

  readonly #callerAborted = (): void => {
    this.#control.abort(abortedError(this.#caller, this.#backend))
  }
}

/** What `work` gives, or the signal's reason as soon as it aborts, whether `work` heeds it or not. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let abort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
  })
  try {
    return await Promise.race([aborted, work])
  } catch (error) {
    // What a cancelled fetch throws differs from runtime to runtime; why it was cancelled is ours to say.
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function toSpan(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${Math.round(ms / 100) / 10} s`
}
