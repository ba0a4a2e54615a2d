/** Tokens kept until shortly before they expire: one refresh in flight, however many wait for it. */
import { type Clock, unlessAborted } from '../client/deadline.ts'
import { abortedError, FacetError } from '../errors.ts'
import type { TokenSource } from '../types.ts'

export interface Minted {
  readonly token: string
  /** From the moment it was asked for. */
  readonly lifetimeMs: number
}

/** Asks for a new token. */
export type Mint = (signal: AbortSignal) => Promise<Minted>

interface Kept extends Minted {
  readonly mintedAtMs: number
}

/** One refresh and those who wait for it. */
interface Flight {
  readonly control: AbortController
  readonly minted: Promise<Kept>
  waiting: number
}

/** Google's servers may see another time than we do, and the request takes a while to arrive. */
const REFRESH_AHEAD_MS = 5 * 60_000
/** A token that ends sooner cannot be relied on even while no newer one is to be had. */
const LAST_RESORT_MS = 30_000
const SIGN_IN_LIMIT_MS = 20_000

/**
 * A TokenSource over `mint`. While a token is in the last minutes of its life and the refresh fails, it is
 * still given out.
 */
export function cachedTokens(mint: Mint, clock: Clock): TokenSource {
  let kept: Kept | undefined
  let flight: Flight | undefined

  /** Milliseconds it has left; none after the clock was set back behind its beginning. */
  const leftOf = ({ mintedAtMs, lifetimeMs }: Kept): number => {
    const ageMs = clock.now() - mintedAtMs
    return ageMs < 0 ? 0 : lifetimeMs - ageMs
  }

  const start = (): Flight => {
    const control = new AbortController()
    const mintedAtMs = clock.now()
    const minted = mint(control.signal).then((token) => ({ ...token, mintedAtMs }))
    const started: Flight = { control, minted, waiting: 0 }
    const end = (): void => {
      if (flight === started) flight = undefined
    }
    minted.then((token) => {
      if (flight === started) kept = token
      end()
    }, end)
    return started
  }

  /** Waits for the flight on the caller's own time: the request that began it may be gone. */
  const join = async (own: Flight, signal: AbortSignal | undefined): Promise<Kept> => {
    const wait = new AbortController()
    const stop = (): void => wait.abort(abortedError(signal))
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
    const cancel = clock.after(SIGN_IN_LIMIT_MS, () => {
      const seconds = SIGN_IN_LIMIT_MS / 1000
      wait.abort(new FacetError('timeout', `Google's sign-in did not answer within ${seconds} s.`))
    })
    own.waiting++
    try {
      return await unlessAborted(wait.signal, own.minted)
    } finally {
      cancel()
      signal?.removeEventListener('abort', stop)
      own.waiting--
      const stuck = wait.signal.aborted && !signal?.aborted
      if (flight === own && (stuck || own.waiting === 0)) {
        flight = undefined
        own.control.abort(wait.signal.reason)
      }
    }
  }

  return {
    async token(signal) {
      if (signal?.aborted) throw abortedError(signal)
      const leftMs = kept ? leftOf(kept) : 0
      if (kept && leftMs > Math.min(REFRESH_AHEAD_MS, kept.lifetimeMs / 4)) return kept.token
      try {
        flight ??= start()
        return (await join(flight, signal)).token
      } catch (error) {
        if (signal?.aborted || !kept || leftOf(kept) < LAST_RESORT_MS) throw error
        return kept.token
      }
    },
    refused(token) {
      if (kept?.token === token) kept = undefined
    },
  }
}
