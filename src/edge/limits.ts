/** How large requests and answers may be. */
import { FacetError } from '../errors.ts'
import { override } from '../guard/layer.ts'
import type { ChatRequest, Layer } from '../types.ts'

export interface SizeLimits {
  /** Largest request body. Default 1 MiB: a long context many times over. */
  readonly bodyBytes?: number
  /** Longest prompt, in characters of all messages together, or in token ids. Default: what the context holds. */
  readonly promptCharacters?: number
  /** Most tokens of one answer; what answers get that ask for no number. Default: what the context holds. */
  readonly outputTokens?: number
  /** Most choices of a request, `n` times its prompts. Default 128. */
  readonly choices?: number
}

export const DEFAULT_BODY_BYTES: number = 1024 * 1024

/** @throws FacetError invalid_request */
export function assertChoices(requests: readonly ChatRequest[], { choices }: SizeLimits): void {
  if (choices === undefined || requests.length <= choices) return
  throw new FacetError(
    'invalid_request',
    `A request may have at most ${choices} choices here, but this one asks for ${requests.length}; lower n.`,
    { field: 'n' },
  )
}

/** Refuses prompts and answers that are longer than allowed before they wait for anything. */
export function withSizeLimits({ promptCharacters, outputTokens }: SizeLimits): Layer {
  return (next) =>
    override(next, {
      chat: (request, options) => {
        const error = promptError(request, promptCharacters) ?? outputError(request, outputTokens)
        if (error) return failed(error)
        const { maxTokens = outputTokens } = request
        return next.chat({ ...request, ...(maxTokens !== undefined && { maxTokens }) }, options)
      },
    })
}

function promptError({ messages, prompt }: ChatRequest, most = Infinity): FacetError | undefined {
  const length = messages ? messages.reduce((sum, { content }) => sum + content.length, 0) : prompt.length
  if (length <= most) return undefined
  const field = messages ? 'messages' : 'prompt'
  const unit = typeof prompt === 'object' ? 'tokens' : 'characters'
  return new FacetError(
    'request_too_large',
    `${field} is ${length} ${unit} long, but may be at most ${most} here; send a shorter one.`,
    { field },
  )
}

function outputError({ maxTokens = 0 }: ChatRequest, most = Infinity): FacetError | undefined {
  if (maxTokens <= most) return undefined
  return new FacetError('invalid_request', `maxTokens may be at most ${most} here, but is ${maxTokens}.`, {
    field: 'maxTokens',
  })
}

/** An answer fails when it is read, not when it is asked for. */
// biome-ignore lint/correctness/useYield: it has nothing to say
async function* failed(error: FacetError): AsyncGenerator<never, void, undefined> {
  throw error
}
