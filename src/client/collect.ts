/** `collect`: a whole answer out of a stream of events. */
import { FacetError } from '../errors.ts'
import type { ChatEvent, FinishReason, TokenLogprob, ToolCall, Usage } from '../types.ts'

export interface Answer {
  readonly text: string
  readonly finishReason: FinishReason
  readonly usage: Usage
  /** Of every token, where the request asked for them. */
  readonly logprobs?: readonly TokenLogprob[]
  /** What the model asks to have called, where it does. */
  readonly toolCalls?: readonly ToolCall[]
}

/**
 * Waits for the answer of any Backend: `await collect(client.chat({ messages }))`.
 *
 * @throws whatever the stream throws; stream_interrupted when it ends without a finish
 */
export async function collect(events: AsyncIterable<ChatEvent>): Promise<Answer> {
  let text = ''
  const logprobs: TokenLogprob[] = []
  /** By the index the server gave them. */
  const calls = new Map<number, ToolCall>()
  for await (const event of events) {
    if (event.type === 'text') {
      text += event.text
      logprobs.push(...(event.logprobs ?? []))
    } else if (event.type === 'tool') {
      calls.set(event.index, joined(calls.get(event.index), event))
    } else if (event.type === 'finish') {
      const { reason: finishReason, usage } = event
      const toolCalls = [...calls.entries()].sort(([a], [b]) => a - b).map(([, call]) => call)
      return {
        text,
        finishReason,
        usage,
        ...(logprobs.length && { logprobs }),
        ...(toolCalls.length && { toolCalls }),
      }
    }
  }
  throw new FacetError('stream_interrupted', 'The answer ended before it was complete.')
}

/** A call with the next piece of it: id and name come once, arguments bit by bit. */
export function joined(call: ToolCall | undefined, piece: Extract<ChatEvent, { type: 'tool' }>): ToolCall {
  return {
    id: piece.id ?? call?.id ?? '',
    name: piece.name ?? call?.name ?? '',
    arguments: (call?.arguments ?? '') + piece.arguments,
  }
}
