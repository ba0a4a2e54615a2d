/** Runs the choices of one answer side by side, as one stream of events. */
import { FacetError, toFacetError } from '../errors.ts'
import type { Backend, ChatEvent, ChatRequest } from '../types.ts'

export interface ChoiceEvent {
  readonly choice: number
  readonly event: ChatEvent
}

interface Arrival {
  readonly choice: number
  readonly result: IteratorResult<ChatEvent> | { readonly error: unknown }
}

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
    for (const request of requests) iterators.push(backend.chat(request, { signal })[Symbol.asyncIterator]())
    for (const choice of requests.keys()) pull(choice)
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
      if ('error' in result) throw toFacetError(result.error)
      if (result.done) {
        if (!finished.has(choice)) throw unfinished(backend)
        running--
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
