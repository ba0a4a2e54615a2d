/** Waits that are bounded, can be cancelled, and say what they wait for. */
import { setTimeout as delay } from 'node:timers/promises'
import { abortedError, FacetError } from '../src/errors.ts'

/** Time as the frame sees it; a test's moves by itself. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
}

/** What is shown while something goes on. */
export type Step =
  | { readonly type: 'doing'; readonly what: string }
  | { readonly type: 'done'; readonly what: string }
  | { readonly type: 'waiting'; readonly what: string; readonly sinceMs: number; readonly limitMs: number }

export interface Context {
  readonly signal: AbortSignal
  readonly clock?: Clock
  readonly onStep?: (step: Step) => void
  /** Of one call to a service. Default 60,000. */
  readonly callMs?: number
  /** Between two looks. Default 5,000. */
  readonly pollMs?: number
}

const CALL_MS = 60_000
const POLL_MS = 5_000

/**
 * One call to a service, which is left behind when it takes too long.
 *
 * @param what is done, such as `read Vertex AI endpoint facet-gemma`
 * @throws FacetError timeout, or what the call throws
 */
export async function call<T>(
  what: string,
  run: (signal: AbortSignal) => Promise<T>,
  { signal, clock = systemClock, callMs = CALL_MS }: Context,
): Promise<T> {
  if (signal.aborted) throw abortedError(signal)
  const over = new AbortController()
  const both = AbortSignal.any([signal, over.signal])
  const late = clock.sleep(callMs, both).then(
    () => {
      throw new FacetError(
        'timeout',
        `It took longer than ${callMs / 1000} s to ${what}; it may still have happened, so look before you repeat it.`,
      )
    },
    () => {
      throw abortedError(signal)
    },
  )
  try {
    return await Promise.race([run(both), late])
  } finally {
    over.abort()
    // Whoever loses the race is done with.
    await late.catch(() => {})
  }
}

/**
 * Looks again and again until there is an answer.
 *
 * @param look gives the answer, or in one line what is still missing
 * @throws FacetError timeout, which says what was waited for
 */
export async function until<T extends object>(
  limitMs: number,
  look: () => Promise<T | string>,
  context: Context,
): Promise<T> {
  const { signal, clock = systemClock, pollMs = POLL_MS, onStep } = context
  const start = clock.now()
  for (;;) {
    const found = await look()
    if (typeof found !== 'string') return found
    const sinceMs = clock.now() - start
    if (sinceMs >= limitMs) {
      throw new FacetError(
        'timeout',
        `Waited ${toDuration(sinceMs)} in vain: ${found} Run the command again to go on from here.`,
      )
    }
    onStep?.({ type: 'waiting', what: found, sinceMs, limitMs })
    await clock.sleep(Math.min(pollMs, limitMs - sinceMs), signal).catch(() => {
      throw abortedError(signal)
    })
  }
}

/** `40 s`, `12 min`, `3 h 5 min`. */
export function toDuration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const rest = minutes % 60
  return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`
}
