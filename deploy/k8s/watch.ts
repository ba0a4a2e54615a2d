/** Follows the objects of a kind for as long as it is asked to: lists, watches, and lists again when it must. */
import { FacetError } from '../../src/errors.ts'
import type { Json } from '../target.ts'
import { type Clock, systemClock } from '../waiting.ts'
import type { KubeClient } from './client.ts'
import type { KindRef } from './discovery.ts'
import type { ApiAnswer } from './http.ts'
import { at, isObject } from './json.ts'
import type { KubeObject } from './object.ts'

export type Change =
  /** Everything that is there: at first, and whenever changes may have been missed. */
  | { readonly type: 'listed'; readonly items: readonly KubeObject[] }
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly object: KubeObject }

export interface WatchOptions {
  readonly labelSelector?: string
  /** Without a line for so long, bookmarks included, the connection counts as dead. Default 90,000. */
  readonly silenceMs?: number
  readonly clock?: Clock
}

const SILENCE_MS = 90_000
/** The server ends a watch after so long; then it goes on from the last version. */
const TIMEOUT_SECONDS = 240
const PAUSE_MS = 1_000

/**
 * Ends with the signal, quietly. A watch that breaks off goes on from where it was; one whose version is too
 * old (410), or that says nothing, begins with a new list.
 *
 * @throws FacetError forbidden, unauthorized or unsupported, where asking again would not help
 */
export async function* watch(
  client: KubeClient,
  kind: KindRef & { readonly namespace?: string },
  signal: AbortSignal,
  options: WatchOptions = {},
): AsyncGenerator<Change> {
  const { labelSelector = '', clock = systemClock } = options
  let version: string | undefined
  while (!signal.aborted) {
    try {
      if (version === undefined) {
        const list = await client.list(kind, labelSelector, signal)
        version = list.version
        yield { type: 'listed', items: list.items }
      }
      for await (const { event, object } of events(client, kind, version, signal, options)) {
        if (event === 'ERROR') {
          version = undefined
          break
        }
        version = String(at(object, 'metadata', 'resourceVersion') ?? version)
        const type = event.toLowerCase()
        if (type === 'added' || type === 'modified' || type === 'deleted')
          yield { type, object: object as KubeObject }
      }
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof FacetError) || error.retry === 'never' || isHopeless(error)) throw error
      // What happened meanwhile is not known.
      version = undefined
      await clock.sleep(error.retryAfterMs ?? PAUSE_MS, signal).catch(() => {})
    }
  }
}

/**
 * Several watches as one, in the order in which they tell.
 *
 * @throws what the first of them throws; the others end then
 */
export async function* merged<T>(
  sources: readonly ((signal: AbortSignal) => AsyncGenerator<T>)[],
  signal: AbortSignal,
): AsyncGenerator<T> {
  const over = new AbortController()
  const both = AbortSignal.any([signal, over.signal])
  const open = sources.map((source) => source(both))
  const next = new Map(open.map((one) => [one, taken(one)]))
  try {
    while (next.size > 0) {
      const { from, result } = await Promise.race(next.values())
      if (result.done) next.delete(from)
      else {
        next.set(from, taken(from))
        yield result.value
      }
    }
  } finally {
    over.abort()
    // They end with the signal; what they still say is of no use.
    await Promise.allSettled(open.map((one) => one.return(undefined)))
  }
}

async function taken<T>(
  from: AsyncGenerator<T>,
): Promise<{ readonly from: AsyncGenerator<T>; readonly result: IteratorResult<T> }> {
  return { from, result: await from.next() }
}

const isHopeless = ({ code }: FacetError): boolean =>
  ['unauthorized', 'forbidden', 'unsupported'].includes(code)

interface Event {
  readonly event: string
  readonly object: Json
}

async function* events(
  client: KubeClient,
  kind: KindRef & { readonly namespace?: string },
  version: string,
  signal: AbortSignal,
  { labelSelector = '', silenceMs = SILENCE_MS, clock = systemClock }: WatchOptions,
): AsyncGenerator<Event> {
  const silence = new AbortController()
  const both = AbortSignal.any([signal, silence.signal])
  const query = {
    resourceVersion: version,
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(TIMEOUT_SECONDS),
    ...(labelSelector === '' ? {} : { labelSelector }),
  }
  const quiet = new Quiet(clock, silenceMs, () =>
    silence.abort(new FacetError('connection_failed', `The watch of ${kind.kind}s has gone silent.`)),
  )
  try {
    quiet.heard()
    for await (const line of lines(await client.stream(kind, query, both), both)) {
      quiet.heard()
      const value = JSON.parse(line) as Json
      if (isObject(value)) yield { event: String(value.type), object: value.object ?? null }
    }
  } finally {
    quiet.end()
  }
}

/** Calls back when nothing has been heard for a while. */
class Quiet {
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #onQuiet: () => void
  #waiting = new AbortController()

  constructor(clock: Clock, limitMs: number, onQuiet: () => void) {
    this.#clock = clock
    this.#limitMs = limitMs
    this.#onQuiet = onQuiet
  }

  heard(): void {
    this.#waiting.abort()
    this.#waiting = new AbortController()
    // Rejects when something is heard, which is what is hoped for.
    this.#clock.sleep(this.#limitMs, this.#waiting.signal).then(this.#onQuiet, () => {})
  }

  end(): void {
    this.#waiting.abort()
  }
}

async function* lines({ stream }: ApiAnswer, signal: AbortSignal): AsyncGenerator<string> {
  let rest = ''
  try {
    for await (const chunk of stream.setEncoding('utf8')) {
      const parts = (rest + String(chunk)).split('\n')
      rest = parts.pop()!
      yield* parts.filter((part) => part !== '')
    }
  } catch (cause) {
    if (signal.reason instanceof FacetError) throw signal.reason
    throw new FacetError('connection_failed', 'The watch broke off.', { cause })
  }
}
