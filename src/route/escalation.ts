/** Edge first: the small model answers, unless the beginning of its answer is not good enough. */
import { tokensOf } from '../client/answer.ts'
import type { Backend, ChatEvent } from '../types.ts'
import type { CommitRule, RouterOptions } from './options.ts'
import { byTier } from './policies.ts'

export interface EscalationOptions {
  /** Prompts of more tokens than this go to the highest tier at once. Default: none does. */
  readonly maxPromptTokens?: number
  /** Answers of more tokens than this escalate, so all of a shorter one is held back. Default: none does. */
  readonly maxAnswerTokens?: number
  /** Answers whose tokens are on average less probable than this escalate (geometric mean, 0 to 1). */
  readonly minConfidence?: number
  /** False escalates. Sees the text held back; `whole` says that the answer is finished. */
  readonly guard?: (text: string, whole: boolean) => boolean
  /** Tokens held back before anything is delivered; what follows is not checked. Default: 32. */
  readonly holdTokens?: number
}

/**
 * Router options that ask the lowest declared tier first and escalate to the higher ones:
 * `router([edge, cloud], escalation({ minConfidence: 0.6 }))`, with `tier` in each ModelSpec.
 *
 * Nothing is ever taken back: an answer escalates only while all of it is still held back. Where no
 * higher tier could answer, the lower one is asked again and its answer delivered as it is.
 * minConfidence judges by log-probabilities, which it asks for; a server that sends none is not judged by them.
 */
export function escalation(
  options: EscalationOptions,
): Required<Pick<RouterOptions, 'policy' | 'commit' | 'logprobs'>> {
  const { maxPromptTokens = Number.POSITIVE_INFINITY } = options
  const lowestFirst = byTier()
  return {
    policy(request, pool) {
      const order = lowestFirst(request, pool)
      return tokensOf(request) > maxPromptTokens ? order.toReversed() : order
    },
    commit: ruleOf(options),
    logprobs: (backend, others) => options.minConfidence !== undefined && isJudged(backend, others),
  }
}

function ruleOf(options: EscalationOptions): CommitRule {
  const { maxAnswerTokens = Number.POSITIVE_INFINITY, minConfidence = 0, guard } = options
  const holdTokens = Number.isFinite(maxAnswerTokens) ? maxAnswerTokens + 1 : (options.holdTokens ?? 32)
  return ({ backend, events, others }) => {
    if (!isJudged(backend, others)) return 'commit'
    const whole = events.at(-1)?.type === 'finish'
    const tokens = events.reduce((sum, event) => sum + tokensIn(event), 0)
    if (tokens > maxAnswerTokens) return 'reject'
    if (!whole && tokens < holdTokens) return 'hold'
    if (confidenceOf(events) < minConfidence) return 'reject'
    return guard && !guard(textOf(events), whole) ? 'reject' : 'commit'
  }
}

/** Only where somebody of a higher tier could be asked instead. */
function isJudged(backend: Backend, others: readonly Backend[]): boolean {
  return others.some((other) => tierOf(other) > tierOf(backend))
}

function tierOf({ model }: Backend): number {
  return model.tier ?? Number.POSITIVE_INFINITY
}

/** Servers send a token with each piece, or say how many. */
function tokensIn(event: ChatEvent): number {
  if (event.type === 'text') return event.logprobs?.length || 1
  return event.type === 'tool' ? 1 : 0
}

/** 1 where nothing is known. */
function confidenceOf(events: readonly ChatEvent[]): number {
  const logprobs = events.flatMap((event) => (event.type === 'text' ? (event.logprobs ?? []) : []))
  const sum = logprobs.reduce((sum, { logprob }) => sum + logprob, 0)
  return Math.exp(sum / (logprobs.length || 1))
}

function textOf(events: readonly ChatEvent[]): string {
  return events.map((event) => (event.type === 'text' ? event.text : '')).join('')
}
