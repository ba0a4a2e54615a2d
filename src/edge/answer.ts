/** Answers one call, as a stream or whole: events of a Backend in, an HTTP response out. */
import { joined } from '../client/collect.ts'
import { FacetError, toFacetError } from '../errors.ts'
import type { Backend, TokenLogprob, ToolCall, Usage } from '../types.ts'
import type { Call } from './call.ts'
import { type ChoiceEvent, runChoices } from './choices.ts'
import { type Report, toErrorBody } from './error-response.ts'
import type { Exchange } from './exchange.ts'
import { toEventStream } from './sse.ts'
import { type Choice, type Head, toHead, toWireUsage, type Writer, type WriterOptions } from './writer.ts'

export interface AnswerOptions {
  readonly backend: Backend
  /** Of the response id, for example `chatcmpl`. */
  readonly prefix: string
  readonly writer: (head: Head, options: WriterOptions) => Writer
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal
  /** Its work is aborted with an error to tell the client; it is settled when a stream has ended. */
  readonly exchange: Exchange
  readonly report: Report
}

/**
 * The status waits for the first content, so that whatever fails before it is a real HTTP error.
 *
 * @throws FacetError before content, or for the whole of an answer that is not streamed
 */
export async function answer(call: Call, options: AnswerOptions): Promise<Response> {
  const { backend, prefix, signal, exchange, report } = options
  const { work } = exchange
  let gone = false
  const stop = (): void => {
    gone = true
    work.abort(goneError())
  }
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })

  const events = runChoices(backend, call.requests, exchange)
  const held: ChoiceEvent[] = []
  let model = backend.model.id
  for (;;) {
    const { value, done } = await events.next()
    if (done) break
    held.push(value)
    if (value.event.type !== 'start') break
    model = value.event.model
  }
  const writer = options.writer(toHead(prefix, model, backend.model), {
    includeUsage: call.includeUsage,
    logprobs: call.requests.some(({ logprobs }) => logprobs !== undefined),
  })
  if (!call.stream) {
    const choices = await toChoices(call, held, events)
    const usage = toWireUsage(
      choices.map((choice) => choice.usage),
      call.n,
    )
    return Response.json(writer.whole(choices, usage))
  }
  exchange.streams = true
  return toEventStream(toChunks(call, held, events, writer), {
    onEnd: () => exchange.settle(),
    onCancel: () => {
      stop()
      exchange.settle(goneError())
    },
    onError: (thrown) => {
      const error = gone ? goneError() : toFacetError(thrown)
      exchange.settle(error)
      if (gone) return undefined
      if (error.code === 'internal') report(error)
      return toErrorBody(error)
    },
  })
}

function goneError(): FacetError {
  return new FacetError('aborted', 'The client has gone.')
}

/** All that an event puts on the wire, and all that is left to say at the end. */
async function* toChunks(
  call: Call,
  held: readonly ChoiceEvent[],
  events: AsyncGenerator<ChoiceEvent, void, undefined>,
  writer: Writer,
): AsyncGenerator<readonly object[], void, undefined> {
  const opened = new Set<number>()
  const usages: Usage[] = []
  const chunksOf = ({ choice, event }: ChoiceEvent): object[] => {
    const chunks: (object | undefined)[] = []
    if (!opened.has(choice)) {
      opened.add(choice)
      chunks.push(writer.open(choice))
    }
    if (event.type === 'text' && (event.text !== '' || event.logprobs?.length)) {
      chunks.push(writer.text(choice, event))
    }
    if (event.type === 'tool') chunks.push(writer.tool(choice, event))
    if (event.type === 'finish') {
      usages[choice] = event.usage
      chunks.push(writer.finish(choice, event.reason))
    }
    return chunks.filter((chunk) => chunk !== undefined)
  }
  try {
    yield held.flatMap(chunksOf)
    for await (const event of events) yield chunksOf(event)
    if (call.includeUsage) yield [writer.usage(toWireUsage(usages, call.n))]
  } finally {
    await events.return()
  }
}

async function toChoices(
  call: Call,
  held: readonly ChoiceEvent[],
  events: AsyncIterable<ChoiceEvent>,
): Promise<Choice[]> {
  const drafts = call.requests.map(() => ({
    text: '',
    logprobs: [] as TokenLogprob[],
    calls: new Map<number, ToolCall>(),
  }))
  const choices: Choice[] = []
  const take = ({ choice, event }: ChoiceEvent): void => {
    const draft = drafts[choice]!
    if (event.type === 'text') {
      draft.text += event.text
      draft.logprobs.push(...(event.logprobs ?? []))
    }
    if (event.type === 'tool') draft.calls.set(event.index, joined(draft.calls.get(event.index), event))
    if (event.type === 'finish') {
      const { calls, ...rest } = draft
      choices[choice] = { ...rest, toolCalls: [...calls.values()], reason: event.reason, usage: event.usage }
    }
  }
  held.forEach(take)
  for await (const event of events) take(event)
  return choices
}
