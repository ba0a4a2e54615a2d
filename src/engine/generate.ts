/** What one request does with the logits it is given: an answer, token by token, or the score of a given one. */
import type { Tokenizer } from '../gemma/tokenizer.ts'
import type { ChatEvent, FinishReason, Sampling, TokenLogprob } from '../types.ts'
import { logprobOf } from './logprobs.ts'
import { createSampler } from './sampler.ts'
import type { Job } from './scheduler.ts'
import { createStopFilter } from './stop.ts'

export interface AnswerPlan {
  readonly prompt: readonly number[]
  readonly sampling: Sampling
  /** At least 1; prompt and answer together fit the context. */
  readonly maxTokens: number
  readonly stop: readonly string[]
  /** How many alternatives to report; undefined: no log-probabilities at all. */
  readonly logprobs: number | undefined
  readonly eosIds: ReadonlySet<number>
}

/** Generates one answer: sends text events and the finish event. */
export function* answer(plan: AnswerPlan, tokenizer: Tokenizer, send: (event: ChatEvent) => void): Job<void> {
  const sampler = createSampler(plan.sampling, plan.prompt)
  const text = createTextSender(plan.stop, tokenizer, send)
  let cachedTokens: number | undefined
  const onReused = (count: number): void => {
    cachedTokens = count
  }
  let logits = yield { tokens: plan.prompt, onReused }
  let reason: FinishReason | undefined
  let completionTokens = 0
  while (!reason) {
    const raw = plan.logprobs === undefined ? undefined : logits.slice() // the sampler changes its logits
    const id = sampler.next(logits)
    completionTokens++
    if (plan.eosIds.has(id)) reason = 'stop'
    else {
      text.push(id, raw && logprobOf(raw, id, plan.logprobs!, tokenizer))
      if (text.stopped) reason = 'stop'
      else if (completionTokens === plan.maxTokens) reason = 'length'
      else logits = yield { tokens: [id] }
    }
  }
  text.flush()
  const usage = { promptTokens: plan.prompt.length, completionTokens }
  send({ type: 'finish', reason, usage: { ...usage, ...(cachedTokens !== undefined && { cachedTokens }) } })
}

export interface ScorePlan {
  /** At least one token. */
  readonly prompt: readonly number[]
  /** Each at least one token. */
  readonly continuations: readonly (readonly number[])[]
  readonly top: number
  /** Positions whose logits may be asked for in one step. */
  readonly chunk: number
}

/** Scores continuations one after another on the prompt's keys and values, which are computed once. */
export function* score(plan: ScorePlan, tokenizer: Tokenizer): Job<TokenLogprob[][]> {
  const first = yield { tokens: plan.prompt }
  const results: TokenLogprob[][] = []
  for (const ids of plan.continuations) {
    const result = [logprobOf(first, ids[0]!, plan.top, tokenizer)]
    for (let at = 0; at < ids.length - 1; at += plan.chunk) {
      // The logits of a token are those of the position before it; the last token is never fed.
      const tokens = ids.slice(at, Math.min(at + plan.chunk, ids.length - 1))
      const logits = yield { tokens, logits: tokens.length, keep: plan.prompt.length + at }
      const vocabSize = logits.length / tokens.length
      for (let i = 0; i < tokens.length; i++) {
        const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize)
        result.push(logprobOf(row, ids[at + i + 1]!, plan.top, tokenizer))
      }
    }
    results.push(result)
  }
  return results
}

/** Tokens in, text events out: whole characters, nothing of a stop string, and each token's log-probability. */
function createTextSender(stops: readonly string[], tokenizer: Tokenizer, send: (event: ChatEvent) => void) {
  const decoder = tokenizer.stream()
  const filter = createStopFilter(stops)
  /** Log-probabilities of tokens not yet sent, with where their text starts. */
  const pending: { readonly start: number; readonly logprob: TokenLogprob }[] = []
  let decoded = 0
  let sent = 0
  const emit = (text: string): void => {
    if (text === '') return
    sent += text.length
    const ready = pending.findIndex(({ start }) => start >= sent)
    const logprobs = pending.splice(0, ready < 0 ? pending.length : ready).map(({ logprob }) => logprob)
    send({ type: 'text', text, ...(logprobs.length > 0 && { logprobs }) })
  }
  return {
    get stopped(): boolean {
      return filter.stopped
    },
    push(id: number, logprob?: TokenLogprob): void {
      if (logprob) pending.push({ start: decoded, logprob })
      const text = decoder.push(id)
      decoded += text.length
      emit(filter.push(text))
    },
    flush(): void {
      emit(filter.push(decoder.flush()) + filter.flush())
    },
  }
}
