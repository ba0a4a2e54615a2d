/** The tokens of texts as the evaluated model has them. */
import { FacetError } from '../../errors.ts'
import type { Backend } from '../../types.ts'

export interface Tokens {
  /** before: what stands before every text, such as bos. ids: the text's own. */
  toTokens(text: string): Promise<{ readonly before: readonly number[]; readonly ids: readonly number[] }>
  toText(ids: readonly number[]): Promise<string>
}

/** @throws FacetError unsupported where the backend does not tell its tokens */
export async function tokensOf(backend: Backend, signal?: AbortSignal): Promise<Tokens> {
  const tokenize = backend.tokenize?.bind(backend)
  const detokenize = backend.detokenize?.bind(backend)
  if (!tokenize || !detokenize) {
    throw new FacetError(
      'unsupported',
      `${backend.name} does not tell its tokens, by which memorization is measured; name a model directory with --model, or its tokenizer's with --tokenizer.`,
      { field: 'model' },
    )
  }
  const options = signal ? { signal } : {}
  // What two texts that share nothing begin with alike.
  const [a, b] = [await tokenize({ prompt: 'a' }, options), await tokenize({ prompt: '1' }, options)]
  const shared = a.findIndex((id, at) => id !== b[at])
  const before = a.slice(0, shared < 0 ? a.length : shared)
  return {
    toTokens: async (text) => {
      const ids = await tokenize({ prompt: text }, options)
      return { before, ids: ids.slice(before.length) }
    },
    toText: (ids) => detokenize(ids, options),
  }
}
