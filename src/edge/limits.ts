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
      async *chat(request, options) {
        if (promptCharacters !== undefined) assertPrompt(request, promptCharacters)
        if (outputTokens === undefined) return yield* next.chat(request, options)
        const { maxTokens = outputTokens } = request
        if (maxTokens > outputTokens) {
          throw new FacetError(
            'invalid_request',
            `maxTokens may be at most ${outputTokens} here, but is ${maxTokens}.`,
            { field: 'maxTokens' },
          )
        }
        yield* next.chat({ ...request, maxTokens }, options)
      },
    })
}

function assertPrompt({ messages, prompt }: ChatRequest, most: number): void {
  const length = messages ? messages.reduce((sum, { content }) => sum + content.length, 0) : prompt.length
  if (length <= most) return
  const field = messages ? 'messages' : 'prompt'
  const unit = typeof prompt === 'object' ? 'tokens' : 'characters'
  throw new FacetError(
    'request_too_large',
    `${field} is ${length} ${unit} long, but may be at most ${most} here; send a shorter one.`,
    { field },
  )
}
