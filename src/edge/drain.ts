/** Ending well: what runs may finish, what comes is sent elsewhere, and at the deadline the rest is told so. */
import type { MiddlewareHandler } from 'hono'
import { FacetError } from '../errors.ts'
import type { EdgeEnv, Exchange } from './exchange.ts'
import type { Readiness } from './health.ts'

/** When a client should try again: by then another server, or this one started anew, should be there. */
const RETRY_MS = 5_000
/** Answers that were told to end get this long to say so. */
const LAST_WORDS_MS = 1_000

/** Give it to createEdge, and start it when the process is told to end. */
export class Drain {
  readonly #running = new Set<Exchange>()
  #draining = false
  #empty: (() => void)[] = []

  /** Once started, /readyz and new requests for answers get 503. */
  get draining(): boolean {
    return this.#draining
  }

  /** Answers being given now. */
  get running(): number {
    return this.#running.size
  }

  /**
   * Resolves when nothing runs any more. What still runs after `deadlineMs` fails with `unavailable`: as an
   * error in its stream, or as a 503.
   */
  async start(deadlineMs: number): Promise<void> {
    this.#draining = true
    if (await this.#settled(deadlineMs)) return
    for (const { work } of this.#running) {
      work.abort(
        new FacetError('unavailable', 'The server had to end before this answer was complete; ask again.', {
          retryAfterMs: RETRY_MS,
        }),
      )
    }
    await this.#settled(LAST_WORDS_MS)
  }

  /** @throws FacetError unavailable while draining */
  admit(exchange: Exchange): void {
    if (this.#draining) throw endingError()
    this.#running.add(exchange)
    exchange.onSettled(() => {
      this.#running.delete(exchange)
      if (this.#running.size === 0) for (const resolve of this.#empty.splice(0)) resolve()
    })
  }

  async #settled(withinMs: number): Promise<boolean> {
    if (this.#running.size === 0) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#empty.push(resolve)
    const timer = setTimeout(resolve, withinMs)
    await promise
    clearTimeout(timer)
    return this.#running.size === 0
  }
}

/** Keeps account of the answers that run. */
export function admitTo(drain: Drain): MiddlewareHandler<EdgeEnv> {
  return async (c, next) => {
    drain.admit(c.get('exchange'))
    await next()
  }
}

const ENDING = 'The server is ending and takes no new requests; ask again soon.'

/** What /readyz says while draining. */
export function endingState(): Readiness {
  return { ready: false, reason: ENDING, retryAfterMs: RETRY_MS }
}

function endingError(): FacetError {
  return new FacetError('unavailable', ENDING, { retryAfterMs: RETRY_MS })
}
