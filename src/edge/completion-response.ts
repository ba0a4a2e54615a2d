/** Answers of POST /v1/completions: `text_completion`, whole and in chunks. */
import { FacetError } from '../errors.ts'
import type { FinishReason, TokenLogprob } from '../types.ts'
import type { Echo } from './echo.ts'
import { type Head, toFinite, type Writer, type WriterOptions } from './writer.ts'

/** @param echoes the prompt of each choice; empty without `echo` */
export function completionWriter(
  head: Head,
  { includeUsage, logprobs: wanted }: WriterOptions,
  echoes: readonly Echo[],
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
  const echoLogprobs = (index: number): readonly MaybeLogprob[] => echoes[index]?.logprobs ?? []
  return {
    open: (index) => {
      const echo = echoes[index]
      if (!echo || echo.text === '') return undefined
      offsets[index] = lengthOf(echoLogprobs(index))
      return one(index, echo.text, wanted ? toLogprobs(echoLogprobs(index), 0) : null, null)
    },
    text: (index, { text, logprobs = [] }) => {
      const offset = offsets[index] ?? 0
      offsets[index] = offset + lengthOf(logprobs)
      return one(index, text, wanted ? toLogprobs(logprobs, offset) : null, null)
    },
    tool: () => {
      throw new FacetError('bad_response', 'The backend called a tool, though it was given none.')
    },
    finish: (index, reason) => one(index, '', null, reason),
    usage: (usage) => ({ ...toBody([]), usage }),
    whole: (choices, usage) => ({
      ...toBody(
        choices.map(({ text, logprobs, reason }, index) => {
          const all = wanted ? toLogprobs([...echoLogprobs(index), ...logprobs], 0) : null
          return toChoice(index, (echoes[index]?.text ?? '') + text, all, reason)
        }),
      ),
      usage,
    }),
  }
}

/** The first token of a prompt of ids has no probability: nothing stands before it. */
type MaybeLogprob = Echo['logprobs'][number] | TokenLogprob

/** The old parallel-lists form. Of alternatives with the same text the likelier one is kept. */
function toLogprobs(tokens: readonly MaybeLogprob[], start: number): object {
  let offset = start
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => (logprob === null ? null : toFinite(logprob))),
    top_logprobs: tokens.map(({ logprob, top = [] }) =>
      logprob === null
        ? null
        : Object.fromEntries([...top].reverse().map(({ text, logprob }) => [text, toFinite(logprob)])),
    ),
    text_offset: tokens.map(({ text }) => {
      offset += text.length
      return offset - text.length
    }),
  }
}

function lengthOf(tokens: readonly MaybeLogprob[]): number {
  return tokens.reduce((length, { text }) => length + text.length, 0)
}
