/** `echo` of POST /v1/completions: the prompt before the answer, with its log-probabilities where asked for. */
import { FacetError } from '../errors.ts'
import type { Backend, TokenAlternative, TokenLogprob } from '../types.ts'
import type { CompletionCall } from './completion-request.ts'

export interface Echo {
  readonly text: string
  /** Of the prompt's tokens; empty when none were asked for. */
  readonly logprobs: readonly (
    | TokenLogprob
    | { readonly text: string; readonly logprob: null; readonly top?: readonly TokenAlternative[] }
  )[]
}

/**
 * One for each choice.
 *
 * @throws FacetError unsupported where the backend cannot tell the text or probabilities of a given prompt
 */
export async function toEchoes(call: CompletionCall, backend: Backend, signal: AbortSignal): Promise<Echo[]> {
  if (!call.echo) return []
  const echoes: Echo[] = []
  // The choices of one prompt stand in a row.
  for (let i = 0; i < call.requests.length; i += call.n) {
    const { prompt, logprobs } = call.requests[i]!
    const echo =
      typeof prompt === 'string'
        ? await ofText(prompt, logprobs, backend, signal)
        : await ofIds(prompt ?? [], logprobs, backend, signal)
    for (let choice = 0; choice < call.n; choice++) echoes.push(echo)
  }
  return echoes
}

async function ofText(
  text: string,
  logprobs: number | undefined,
  backend: Backend,
  signal: AbortSignal,
): Promise<Echo> {
  if (logprobs === undefined || text === '') return { text, logprobs: [] }
  // After the beginning of the text, which stands before every prompt given as text.
  const [scores = []] = await score(backend)({ prompt: '', continuations: [text], top: logprobs }, { signal })
  return { text, logprobs: scores }
}

async function ofIds(
  ids: readonly number[],
  logprobs: number | undefined,
  backend: Backend,
  signal: AbortSignal,
): Promise<Echo> {
  const detokenize = backend.detokenize?.bind(backend) ?? refuse(backend, 'echo', 'the text of token ids')
  const text = await detokenize(ids, { signal })
  if (logprobs === undefined) return { text, logprobs: [] }
  const first = { text: await detokenize(ids.slice(0, 1), { signal }), logprob: null }
  if (ids.length === 1) return { text, logprobs: [first] }
  const request = { prompt: ids.slice(0, 1), continuations: [ids.slice(1)], top: logprobs }
  const [scores = []] = await score(backend)(request, { signal })
  return { text, logprobs: [first, ...scores] }
}

function score(backend: Backend): NonNullable<Backend['score']> {
  return backend.score?.bind(backend) ?? refuse(backend, 'logprobs', 'the probabilities of an echoed prompt')
}

function refuse(backend: Backend, field: string, what: string): never {
  throw new FacetError('unsupported', `${backend.name} cannot tell ${what}; leave out ${field}.`, { field })
}
