/** The embedding of a text: the mean of its tokens' hidden states, of length 1. Experimental. */
import { FacetError } from '../errors.ts'
import type { Job } from './scheduler.ts'

/**
 * Gemma was not tuned to embed: neighbours are near in topic and wording, no more. The first token (bos) only
 * holds attention that goes nowhere, and is left out of the mean.
 *
 * @param ids bos and at least one more
 * @param chunk most tokens of one step
 */
export function* embed(ids: readonly number[], chunk: number, hiddenSize: number): Job<Float32Array> {
  const sum = new Float64Array(hiddenSize)
  for (let at = 0; at < ids.length; at += chunk) {
    const tokens = ids.slice(at, at + chunk)
    const states = yield { tokens, logits: tokens.length, hidden: true }
    if (!(states instanceof Float32Array)) {
      throw new FacetError(
        'internal',
        'A token was chosen where hidden states were wanted; please report this.',
      )
    }
    for (let i = at === 0 ? 1 : 0; i < tokens.length; i++) {
      for (let j = 0; j < hiddenSize; j++) sum[j]! += states[i * hiddenSize + j]!
    }
  }
  // The mean's length does not matter, so neither does the number of tokens.
  const length = Math.hypot(...sum)
  return Float32Array.from(sum, (value) => value / length)
}
