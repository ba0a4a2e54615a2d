/** Reads whole answers. */
import type {
  Backend,
  CallOptions,
  ChatEvent,
  ChatRequest,
  FinishReason,
  TokenLogprob,
  Usage,
} from '../../src/types.ts'

export interface Answer {
  readonly text: string
  readonly logprobs: readonly TokenLogprob[]
  readonly reason: FinishReason
  readonly usage: Usage
  readonly events: readonly ChatEvent[]
}

/** @throws Error when the events are not start, content, exactly one finish */
export async function collect(
  backend: Backend,
  request: ChatRequest,
  options?: CallOptions,
): Promise<Answer> {
  const events: ChatEvent[] = []
  for await (const event of backend.chat(request, options)) events.push(event)
  const finish = events.at(-1)
  if (events[0]?.type !== 'start' || finish?.type !== 'finish') throw new Error('start or finish is missing')
  const content = events.slice(1, -1)
  if (!content.every((event) => event.type === 'text')) throw new Error('start or finish stands amid content')
  return {
    text: content.map(({ text }) => text).join(''),
    logprobs: content.flatMap(({ logprobs }) => logprobs ?? []),
    reason: finish.reason,
    usage: finish.usage,
    events,
  }
}
