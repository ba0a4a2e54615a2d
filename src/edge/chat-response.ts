/** Answers of POST /v1/chat/completions: `chat.completion` and `chat.completion.chunk`. */
import type { FinishReason, TokenAlternative, TokenLogprob, ToolCall } from '../types.ts'
import { type Choice, type Head, toFinite, type Writer, type WriterOptions } from './writer.ts'

export function chatWriter(head: Head, { includeUsage, logprobs: wanted }: WriterOptions): Writer {
  /** With include_usage every chunk has the field, null in all but the last. */
  const tail = includeUsage ? { usage: null } : {}
  const toChunk = (choices: readonly object[]): object => ({
    id: head.id,
    object: 'chat.completion.chunk',
    created: head.created,
    model: head.model,
    system_fingerprint: head.fingerprint,
    choices,
  })
  const one = (
    index: number,
    delta: object,
    logprobs: object | null = null,
    reason: FinishReason | null = null,
  ): object => ({ ...toChunk([{ index, delta, logprobs, finish_reason: reason }]), ...tail })
  return {
    open: (index) => one(index, { role: 'assistant', content: '', refusal: null }),
    text: (index, event) =>
      one(index, { content: event.text }, wanted ? toLogprobs(event.logprobs ?? []) : null),
    tool: (index, { index: call, id, name, arguments: text }) => {
      const head = id === undefined ? {} : { id, type: 'function' }
      const own = { ...(name !== undefined && { name }), arguments: text }
      return one(index, { tool_calls: [{ index: call, ...head, function: own }] })
    },
    finish: (index, reason) => one(index, {}, null, reason),
    usage: (usage) => ({ ...toChunk([]), usage }),
    whole: (choices, usage) => ({
      id: head.id,
      object: 'chat.completion',
      created: head.created,
      model: head.model,
      choices: choices.map((choice, index) => toChoice(choice, index, wanted)),
      usage,
      system_fingerprint: head.fingerprint,
    }),
  }
}

function toChoice({ text, logprobs, toolCalls, reason }: Choice, index: number, wanted: boolean): object {
  const called = toolCalls.length > 0
  return {
    index,
    message: {
      role: 'assistant',
      content: called && text === '' ? null : text,
      ...(called && { tool_calls: toolCalls.map(toWireCall) }),
      refusal: null,
      annotations: [],
    },
    logprobs: wanted ? toLogprobs(logprobs) : null,
    finish_reason: reason,
  }
}

function toWireCall({ id, name, arguments: text }: ToolCall): object {
  return { id, type: 'function', function: { name, arguments: text } }
}

function toLogprobs(tokens: readonly TokenLogprob[]): object {
  const content = tokens.map((token) => ({
    ...toAlternative(token),
    top_logprobs: (token.top ?? []).map(toAlternative),
  }))
  return { content, refusal: null }
}

function toAlternative({ text, logprob }: TokenAlternative): object {
  return { token: text, logprob: toFinite(logprob), bytes: toTokenBytes(text) }
}

/** A token that is part of a character goes by its entry in the vocabulary, such as `<0xE6>`: clients join the bytes. */
function toTokenBytes(text: string): number[] {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(text)?.[1]
  return byte === undefined ? [...new TextEncoder().encode(text)] : [Number.parseInt(byte, 16)]
}
