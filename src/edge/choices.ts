/** Runs the choices of one answer, a few at a time, as one stream of events. */
import { FacetError, toFacetError } from '../errors.ts'
import type { Backend, ChatEvent, ChatRequest } from '../types.ts'
import { toWireNames } from './error-response.ts'
import type { Exchange } from './exchange.ts'
import type { Generation } from './generation.ts'

export interface ChoiceEvent {
  readonly choice: number
  readonly event: ChatEvent
}

interface Arrival {
  readonly choice: number
  readonly result: IteratorResult<ChatEvent> | { readonly error: unknown }
}

/**
 * Choices at the same time. The others wait here: a large `n` would fill the queue of an engine, which
 * answers with `queue_full` however often it is asked again.
 */
const AT_ONCE = 4

/**
 * Yields the events of all choices as they come, at most one ahead of the reader for each choice, and notes
 * them in the exchange. When one choice fails, when its `work` is aborted or when the reader leaves, all of
 * them are stopped.
 *
 * @throws FacetError that of the choice that failed, or aborted
 */
export function runChoices(
  backend: Backend,
  requests: readonly ChatRequest[],
  exchange: Exchange,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  return requests.length === 1
    ? runOne(backend, requests[0]!, exchange)
    : runSeveral(backend, requests, exchange)
}

/** Nothing to weave: a backend under deadlines ends by itself when it is aborted. */
async function* runOne(
  backend: Backend,
  request: ChatRequest,
  exchange: Exchange,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  const { work } = exchange
  const { signal } = work
  const generation = exchange.begin(request)
  let finished = false
  let ended = false
  try {
    for await (const event of backend.chat(request, { signal })) {
      if (signal.aborted) throw toFacetError(signal.reason)
      generation.note(event)
      if (event.type === 'finish') finished = true
      yield { choice: 0, event }
    }
    if (!finished) throw unfinished(backend)
    ended = true
  } catch (error) {
    throw toWireNames(toFacetError(error))
  } finally {
    if (!ended) stop(work)
  }
}

async function* runSeveral(
  backend: Backend,
  requests: readonly ChatRequest[],
  exchange: Exchange,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  const { work } = exchange
  const { signal } = work
  const arrivals: Arrival[] = []
  const iterators: AsyncIterator<ChatEvent>[] = []
  const generations: Generation[] = []
  let wake = (): void => {}
  const arrive = (arrival: Arrival): void => {
    arrivals.push(arrival)
    wake()
  }
  const begin = (): void => {
    const choice = iterators.length
    if (choice === requests.length) return
    const request = requests[choice]!
    iterators.push(backend.chat(request, { signal })[Symbol.asyncIterator]())
    generations.push(exchange.begin(request))
    pull(choice)
  }
  const pull = (choice: number): void => {
    iterators[choice]!.next().then(
      (result) => {
        if (!result.done) generations[choice]!.note(result.value)
        arrive({ choice, result })
      },
      (error: unknown) => arrive({ choice, result: { error } }),
    )
  }
  const onAbort = (): void => {
    for (const iterator of iterators) leave(iterator)
    wake()
  }
  if (signal.aborted) throw toFacetError(signal.reason)
  signal.addEventListener('abort', onAbort)
  let running = requests.length
  try {
    for (let slot = 0; slot < AT_ONCE; slot++) begin()
    const finished = new Set<number>()
    while (running > 0) {
      if (signal.aborted) throw toFacetError(signal.reason)
      const arrival = arrivals.shift()
      if (!arrival) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      const { choice, result } = arrival
      if ('error' in result) throw toWireNames(toFacetError(result.error))
      if (result.done) {
        if (!finished.has(choice)) throw unfinished(backend)
        running--
        begin()
        continue
      }
      if (result.value.type === 'finish') finished.add(choice)
      yield { choice, event: result.value }
      pull(choice)
    }
  } finally {
    if (running > 0) stop(work)
    signal.removeEventListener('abort', onAbort)
  }
}

function stop(work: AbortController): void {
  work.abort(new FacetError('aborted', 'The answer was stopped.'))
}

/** Not awaited, since a backend may take a step to notice; how it ends no longer matters to anyone. */
function leave(iterator: AsyncIterator<ChatEvent>): void {
  iterator.return?.().then(undefined, () => undefined)
}

function unfinished(backend: Backend): FacetError {
  return new FacetError(
    'bad_response',
    `The backend ${backend.name} ended its answer without saying that it was finished; try again.`,
    { backend: backend.name },
  )
}
