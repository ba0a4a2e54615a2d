/** Answers of POST /v1/completions: `text_completion`, whole and in chunks. */
import type { FinishReason, TokenLogprob } from '../types.ts'
import { type Head, toFinite, type Writer, type WriterOptions } from './writer.ts'

/** @param echoes what stands before each choice; empty without `echo` */
export function completionWriter(
  head: Head,
  { includeUsage, logprobs: wanted }: WriterOptions,
  echoes: readonly string[],
): Writer {
  const tail = includeUsage ? { usage: null } : {}
  const toBody = (choices: readonly object[]): object => ({
    id: head.id,
    object: 'text_completion',
    created: head.created,
    model: head.model,
    system_fingerprint: head.fingerprint,
    choices,
  })
  const toChoice = (
    index: number,
    text: string,
    logprobs: object | null,
    reason: FinishReason | null,
  ): object => ({ text, index, logprobs, finish_reason: reason })
  const one = (...choice: Parameters<typeof toChoice>): object => ({
    ...toBody([toChoice(...choice)]),
    ...tail,
  })
  /** Characters of each choice already sent, where its next token's text begins. */
  const offsets: number[] = []
  return {
    open: (index) => (echoes[index] ? one(index, echoes[index], null, null) : undefined),
    text: (index, { text, logprobs = [] }) => {
      const offset = offsets[index] ?? 0
      offsets[index] = offset + lengthOf(logprobs)
      return one(index, text, wanted ? toLogprobs(logprobs, offset) : null, null)
    },
    finish: (index, reason) => one(index, '', null, reason),
    usage: (usage) => ({ ...toBody([]), usage }),
    whole: (choices, usage) => ({
      ...toBody(
        choices.map(({ text, logprobs, reason }, index) =>
          toChoice(index, (echoes[index] ?? '') + text, wanted ? toLogprobs(logprobs, 0) : null, reason),
        ),
      ),
      usage,
    }),
  }
}

/** The old parallel-lists form. Of alternatives with the same text the likelier one is kept. */
function toLogprobs(tokens: readonly TokenLogprob[], start: number): object {
  let offset = start
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => toFinite(logprob)),
    top_logprobs: tokens.map(({ top = [] }) =>
      Object.fromEntries([...top].reverse().map(({ text, logprob }) => [text, toFinite(logprob)])),
    ),
    text_offset: tokens.map(({ text }) => {
      offset += text.length
      return offset - text.length
    }),
  }
}

function lengthOf(tokens: readonly TokenLogprob[]): number {
  return tokens.reduce((length, { text }) => length + text.length, 0)
}
