/** Log-probabilities of tokens, from the model's own logits. */
import { FacetError } from '../errors.ts'
import type { Tokenizer } from '../gemma/tokenizer.ts'
import type { TokenAlternative, TokenLogprob } from '../types.ts'
import type { Chosen, IdLogprob } from './choice.ts'
import { argmax, largest } from './select.ts'

/** A token whose log-probability is known. */
export interface MeasuredToken extends Chosen, IdLogprob {
  readonly logprob: number
}

/**
 * The log-probability of a token after softmax over the whole vocabulary, in float64.
 *
 * @param logits (vocabSize), unchanged
 * @param top how many of the likeliest tokens to report with it
 * @throws FacetError internal if the logits are not numbers
 */
export function logprobOf(logits: Float32Array, id: number, top: number): MeasuredToken {
  const best = argmax(logits)
  const max = best < 0 ? Number.NaN : logits[best]!
  let total = 0
  for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i]! - max)
  const logTotal = max + Math.log(total)
  if (Number.isNaN(logTotal)) throw notNumbers()
  const measured = (token: number): MeasuredToken => ({ id: token, logprob: logits[token]! - logTotal })
  return { ...measured(id), ...(top > 0 && { top: Array.from(largest(logits, top), measured) }) }
}

/** With the texts that people see. */
export function toTokenLogprob({ id, logprob, top }: MeasuredToken, tokenizer: Tokenizer): TokenLogprob {
  const alternative = (each: IdLogprob): TokenAlternative => ({
    id: each.id,
    text: textOf(each.id, tokenizer),
    logprob: each.logprob,
  })
  return { ...alternative({ id, logprob }), ...(top && { top: top.map(alternative) }) }
}

/** What people see for one token: its text, or its name where it has no text of its own. */
function textOf(id: number, tokenizer: Tokenizer): string {
  const text = tokenizer.decode([id])
  return text === '' || text.includes('\ufffd') ? (tokenizer.tokenOf(id) ?? text) : text
}

export function notNumbers(): FacetError {
  return new FacetError(
    'internal',
    'The model computed logits that are not numbers; its file may be damaged.',
  )
}
