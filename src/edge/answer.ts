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

  const events = runChoices(backend, call.requests, work)
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
    const choices = await toChoices(call, rest(held, events))
    const usage = toWireUsage(
      choices.map((choice) => choice.usage),
      call.n,
    )
    return Response.json(writer.whole(choices, usage))
  }
  exchange.streams = true
  return toEventStream(toChunks(call, rest(held, events), writer), {
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

async function* rest(
  held: readonly ChoiceEvent[],
  events: AsyncGenerator<ChoiceEvent, void, undefined>,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  try {
    yield* held
    yield* events
  } finally {
    await events.return()
  }
}

async function* toChunks(
  call: Call,
  events: AsyncIterable<ChoiceEvent>,
  writer: Writer,
): AsyncGenerator<object, void, undefined> {
  const opened = new Set<number>()
  const usages: Usage[] = []
  for await (const { choice, event } of events) {
    if (!opened.has(choice)) {
      opened.add(choice)
      const chunk = writer.open(choice)
      if (chunk) yield chunk
    }
    if (event.type === 'text' && (event.text !== '' || event.logprobs?.length))
      yield writer.text(choice, event)
    if (event.type === 'tool') yield writer.tool(choice, event)
    if (event.type === 'finish') {
      usages[choice] = event.usage
      yield writer.finish(choice, event.reason)
    }
  }
  if (call.includeUsage) yield writer.usage(toWireUsage(usages, call.n))
}

async function toChoices(call: Call, events: AsyncIterable<ChoiceEvent>): Promise<Choice[]> {
  const drafts = call.requests.map(() => ({
    text: '',
    logprobs: [] as TokenLogprob[],
    calls: new Map<number, ToolCall>(),
  }))
  const choices: Choice[] = []
  for await (const { choice, event } of events) {
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
  return choices
}
