/** Log-probabilities of tokens, from the model's own logits. */
import { FacetError } from '../errors.ts'
import type { Tokenizer } from '../gemma/tokenizer.ts'
import type { TokenAlternative, TokenLogprob } from '../types.ts'
import { argmax, largest } from './select.ts'

/**
 * The log-probability of a token after softmax over the whole vocabulary, in float64.
 *
 * @param logits (vocabSize), unchanged
 * @param top how many of the likeliest tokens to report with it
 */
export function logprobOf(logits: Float32Array, id: number, top: number, tokenizer: Tokenizer): TokenLogprob {
  const best = argmax(logits)
  const max = best < 0 ? Number.NaN : logits[best]!
  let total = 0
  for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i]! - max)
  const logTotal = max + Math.log(total)
  if (Number.isNaN(logTotal)) {
    throw new FacetError(
      'internal',
      'The model computed logits that are not numbers; its file may be damaged.',
    )
  }
  const alternative = (token: number): TokenAlternative => ({
    id: token,
    text: textOf(token, tokenizer),
    logprob: logits[token]! - logTotal,
  })
  return top === 0
    ? alternative(id)
    : { ...alternative(id), top: Array.from(largest(logits, top), alternative) }
}

/** What people see for one token: its text, or its name where it has no text of its own. */
function textOf(id: number, tokenizer: Tokenizer): string {
  const text = tokenizer.decode([id])
  return text === '' || text.includes('\ufffd') ? (tokenizer.tokenOf(id) ?? text) : text
}
