/** A Backend's events as the AI SDK's stream parts. */
import type {
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
} from '@ai-sdk/provider'
import type { ChatEvent, FinishReason, Usage } from '../types.ts'

const TEXT_ID = '0'

interface OpenCall {
  readonly id: string
  readonly name: string
  input: string
}

/** Text and each call are opened, filled and closed; a call is whole when the answer ends. */
export async function* toParts(
  events: AsyncIterable<ChatEvent>,
): AsyncGenerator<LanguageModelV4StreamPart, void, undefined> {
  const calls = new Map<number, OpenCall>()
  let speaking = false
  for await (const event of events) {
    switch (event.type) {
      case 'start':
        yield { type: 'response-metadata', id: event.id, modelId: event.model }
        break
      case 'text':
        if (!speaking) yield { type: 'text-start', id: TEXT_ID }
        speaking = true
        yield { type: 'text-delta', id: TEXT_ID, delta: event.text }
        break
      case 'tool': {
        let call = calls.get(event.index)
        if (!call) {
          call = { id: event.id ?? `call_${event.index}`, name: event.name ?? '', input: '' }
          calls.set(event.index, call)
          yield { type: 'tool-input-start', id: call.id, toolName: call.name }
        }
        call.input += event.arguments
        if (event.arguments !== '') yield { type: 'tool-input-delta', id: call.id, delta: event.arguments }
        break
      }
      case 'finish':
        if (speaking) yield { type: 'text-end', id: TEXT_ID }
        for (const { id, name, input } of calls.values()) {
          yield { type: 'tool-input-end', id }
          yield { type: 'tool-call', toolCallId: id, toolName: name, input: input || '{}' }
        }
        yield { type: 'finish', finishReason: toReason(event.reason), usage: toUsage(event.usage) }
    }
  }
}

const REASONS = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool-calls',
  content_filter: 'content-filter',
} as const satisfies Record<FinishReason, LanguageModelV4FinishReason['unified']>

function toReason(raw: FinishReason): LanguageModelV4FinishReason {
  return { unified: REASONS[raw], raw }
}

function toUsage({ promptTokens, completionTokens, cachedTokens, estimated }: Usage): LanguageModelV4Usage {
  return {
    inputTokens: {
      total: promptTokens,
      noCache: cachedTokens === undefined ? undefined : promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: { total: completionTokens, text: completionTokens, reasoning: undefined },
    ...(estimated && { raw: { estimated } }),
  }
}
