/** Runs the choices of one answer, a few at a time, as one stream of events. */
import { FacetError, toFacetError } from '../errors.ts'
import type { Backend, ChatEvent, ChatRequest } from '../types.ts'
import { toWireNames } from './error-response.ts'

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
 * Yields the events of all choices as they come, at most one ahead of the reader for each choice.
 * When one choice fails, when `work` is aborted or when the reader leaves, all of them are stopped.
 *
 * @throws FacetError that of the choice that failed, or aborted
 */
export async function* runChoices(
  backend: Backend,
  requests: readonly ChatRequest[],
  work: AbortController,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  const { signal } = work
  const arrivals: Arrival[] = []
  const iterators: AsyncIterator<ChatEvent>[] = []
  let wake = (): void => {}
  const arrive = (arrival: Arrival): void => {
    arrivals.push(arrival)
    wake()
  }
  const begin = (): void => {
    const choice = iterators.length
    if (choice === requests.length) return
    iterators.push(backend.chat(requests[choice]!, { signal })[Symbol.asyncIterator]())
    pull(choice)
  }
  const pull = (choice: number): void => {
    iterators[choice]!.next().then(
      (result) => arrive({ choice, result }),
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
    if (running > 0) work.abort(new FacetError('aborted', 'The answer was stopped.'))
    signal.removeEventListener('abort', onAbort)
  }
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
