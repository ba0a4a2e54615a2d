/** What ends an answer from outside: the caller's signal and its time limits. */
import { abortedError, FacetError } from '../errors.ts'
import type { CallOptions, Timeouts } from '../types.ts'

/** A longer delay overflows setTimeout, which then fires at once; no answer takes 24 days. */
const LONGEST_MS = 2 ** 31 - 1

const MISSED: Readonly<Record<keyof Timeouts, string>> = {
  firstTokenMs: 'gave no content within',
  idleMs: 'gave no further content for',
  totalMs: 'did not finish within',
}

export interface Limits {
  /** Content has come: the next may take idleMs. */
  content(): void
  /** The answer is over, one way or another. */
  clear(): void
}

/**
 * Watches a call; `end` is called at most once, with `aborted` or `timeout`.
 *
 * @param who answers, as its errors begin
 * @throws FacetError invalid_request when a limit is not a positive number; aborted when it already is
 */
export function watch(
  options: CallOptions,
  end: (error: FacetError) => void,
  who: string = 'The engine',
): Limits {
  const { signal, timeouts = {} } = options
  for (const [name, value] of Object.entries(timeouts)) {
    if (value === undefined || (typeof value === 'number' && value > 0)) continue
    const field = `timeouts.${name}`
    throw new FacetError('invalid_request', `${field} must be a number of milliseconds above 0.`, { field })
  }
  if (signal?.aborted) throw abortedError(signal)

  /** The latest content: a timer that finds some on its way goes on waiting, which spares one for each token. */
  let contentMs: number | undefined
  const timers = new Map<keyof Timeouts, ReturnType<typeof setTimeout>>()
  const stop = (name: keyof Timeouts): void => clearTimeout(timers.get(name))
  const start = (name: keyof Timeouts, restMs: number | undefined = timeouts[name]): void => {
    if (restMs === undefined) return
    const expire = (): void => {
      const delayMs = timeouts[name]!
      const leftMs = name === 'idleMs' ? contentMs! + delayMs - performance.now() : 0
      if (leftMs > 0) start(name, leftMs)
      else finish(new FacetError('timeout', `${who} ${MISSED[name]} ${delayMs} ms (timeouts.${name}).`))
    }
    timers.set(name, setTimeout(expire, Math.min(restMs, LONGEST_MS)))
  }
  const clear = (): void => {
    for (const name of timers.keys()) stop(name)
    signal?.removeEventListener('abort', onAbort)
  }
  const finish = (error: FacetError): void => {
    clear()
    end(error)
  }
  const onAbort = (): void => finish(abortedError(signal))

  signal?.addEventListener('abort', onAbort)
  start('firstTokenMs')
  start('totalMs')
  return {
    content: () => {
      const first = contentMs === undefined
      contentMs = performance.now()
      if (!first) return
      stop('firstTokenMs')
      start('idleMs')
    },
    clear,
  }
}
