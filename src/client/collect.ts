/** `collect`: a whole answer out of a stream of events. */
import { FacetError } from '../errors.ts'
import type { ChatEvent, FinishReason, TokenLogprob, Usage } from '../types.ts'

export interface Answer {
  readonly text: string
  readonly finishReason: FinishReason
  readonly usage: Usage
  /** Of every token, where the request asked for them. */
  readonly logprobs?: readonly TokenLogprob[]
}

/**
 * Waits for the answer of any Backend: `await collect(client.chat({ messages }))`.
 *
 * @throws whatever the stream throws; stream_interrupted when it ends without a finish
 */
export async function collect(events: AsyncIterable<ChatEvent>): Promise<Answer> {
  let text = ''
  const logprobs: TokenLogprob[] = []
  for await (const event of events) {
    if (event.type === 'text') {
      text += event.text
      logprobs.push(...(event.logprobs ?? []))
    } else if (event.type === 'finish') {
      const { reason: finishReason, usage } = event
      return { text, finishReason, usage, ...(logprobs.length && { logprobs }) }
    }
  }
  throw new FacetError('stream_interrupted', 'The answer ended before it was complete.')
}
