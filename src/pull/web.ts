/** Requests that are tried again while it can help, and refusals as sentences. */
import { type Clock, systemClock } from '../client/deadline.ts'
import { abortedError, FacetError } from '../errors.ts'
import type { Site } from './listing.ts'

export interface WebOptions {
  readonly fetch?: typeof fetch
  readonly clock?: Clock
  readonly signal?: AbortSignal
}

/** Attempts in a row that bring nothing before it is given up. */
export const TRIES = 6
/** A connection that says nothing for so long is dead. */
const SILENCE_MS = 60_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000
/** A server that asks for more patience than this is not waited for. */
const MOST_PATIENCE_MS = 300_000

export class Web {
  readonly signal: AbortSignal | undefined
  readonly #fetch: typeof fetch
  readonly #clock: Clock

  constructor({ fetch, clock, signal }: WebOptions = {}) {
    this.#fetch = fetch ?? globalThis.fetch
    this.#clock = clock ?? systemClock
    this.signal = signal
  }

  /**
   * One answer that is a success, or 416.
   *
   * @param what is asked for, for messages
   * @throws FacetError unauthorized, forbidden, not_found, rate_limited, unavailable, connection_failed, aborted
   */
  async get(
    url: string,
    site: Pick<Site, 'headers' | 'refused'>,
    what: string,
    init: RequestInit = {},
  ): Promise<Response> {
    for (let tries = 1; ; tries++) {
      const problem = await this.#once(url, site, what, init)
      if (problem instanceof Response) return problem
      if (!passes(problem) || tries >= TRIES) throw problem
      await this.pause(tries, problem)
    }
  }

  async json(url: string, site: Pick<Site, 'headers' | 'refused'>, what: string): Promise<unknown> {
    const response = await this.get(url, site, what)
    try {
      return await response.json()
    } catch (cause) {
      throw new FacetError(
        'bad_response',
        `${hostOf(url)} answered for ${what} with something that is not JSON.`,
        {
          cause,
        },
      )
    }
  }

  /** The body piece by piece. @throws FacetError connection_failed when it breaks or falls silent, aborted */
  async *body(response: Response, what: string): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader()
    if (!reader) return
    try {
      for (;;) {
        const { done, value } = await this.#within(reader.read(), what)
        if (done) return
        yield value
      }
    } catch (cause) {
      throw this.#failure(cause, `${what} broke off`)
    } finally {
      // What is left is not wanted; the error that ended it has been thrown already.
      await reader.cancel().catch(() => undefined)
    }
  }

  /** Waits as long as the server asked, or longer from time to time. @throws FacetError aborted */
  async pause(tries: number, after: FacetError): Promise<void> {
    const asked = after.retryAfterMs
    if (asked !== undefined && asked > MOST_PATIENCE_MS) throw after
    await this.wait(asked ?? Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS))
  }

  /** @throws FacetError aborted */
  async wait(delayMs: number): Promise<void> {
    const { signal } = this
    if (signal?.aborted) throw abortedError(signal)
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        cancel()
        reject(abortedError(signal))
      }
      const cancel = this.#clock.after(delayMs, () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      })
      signal?.addEventListener('abort', stop, { once: true })
    })
  }

  /** Unix time in milliseconds. */
  now(): number {
    return this.#clock.now()
  }

  async #once(
    url: string,
    site: Pick<Site, 'headers' | 'refused'>,
    what: string,
    init: RequestInit,
  ): Promise<Response | FacetError> {
    const given = await site.headers()
    try {
      const headers = { ...given, ...(init.headers as Record<string, string>) }
      const request = this.#fetch(url, { ...init, headers, signal: this.signal ?? null })
      const response = await this.#within(request, what)
      if (response.ok || response.status === 416) return response
      await response.body?.cancel()
      return site.refused(response.status, response.headers) ?? this.#refusal(response, url, what)
    } catch (cause) {
      return this.#failure(cause, `${hostOf(url)} cannot be reached for ${what}`)
    }
  }

  #refusal({ status, headers }: Response, url: string, what: string): FacetError {
    const host = hostOf(url)
    if (status === 401)
      return new FacetError('unauthorized', `${host} wants to know who asks for ${what}; sign in.`)
    if (status === 403) return new FacetError('forbidden', `${host} does not give ${what} to this account.`)
    if (status === 404) return new FacetError('not_found', `${host} has no ${what}; check the name.`)
    const retryAfterMs = this.#retryAfter(headers.get('retry-after'))
    const options = retryAfterMs === undefined ? {} : { retryAfterMs }
    if (status === 429) {
      return new FacetError(
        'rate_limited',
        `${host} allows no more requests for now; run this again later.`,
        options,
      )
    }
    const code = status >= 500 ? 'unavailable' : 'bad_response'
    return new FacetError(code, `${host} answered ${status} for ${what}; run this again later.`, options)
  }

  #retryAfter(text: string | null): number | undefined {
    if (!text) return undefined
    const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - this.#clock.now()) / 1000
    return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : undefined
  }

  #failure(cause: unknown, problem: string): FacetError {
    if (cause instanceof FacetError) return cause
    if (this.signal?.aborted) return abortedError(this.signal)
    const why = cause instanceof Error && cause.cause instanceof Error ? ` (${cause.cause.message})` : ''
    return new FacetError('connection_failed', `${problem}${why}; run this again to go on.`, { cause })
  }

  async #within<T>(work: Promise<T>, what: string): Promise<T> {
    let cancel = (): void => undefined
    const silent = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(SILENCE_MS, () => {
        const problem = `${what} has been silent for ${SILENCE_MS / 1000} seconds; run this again to go on.`
        reject(new FacetError('connection_failed', problem))
      })
    })
    try {
      return await Promise.race([work, silent])
    } finally {
      cancel()
    }
  }
}

/** Whether the same request may work in a moment. */
export function passes({ code }: FacetError): boolean {
  return code === 'rate_limited' || code === 'unavailable' || code === 'connection_failed'
}

function hostOf(url: string): string {
  return new URL(url).host
}
