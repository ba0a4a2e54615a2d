/** What `facet chat` shows besides the answer: rates, errors, and nothing a model may do to a terminal. */
import { FacetError } from '../errors.ts'
import type { ChatEvent } from '../types.ts'

export interface Rate {
  take(event: ChatEvent): void
  /** Tokens and speed as one dim line. */
  line(colors: boolean): string
}

/** Measures one answer: from the first content on, since before it the prompt was read. */
export function rateOf(now: () => number = () => performance.now()): Rate {
  let firstMs: number | undefined
  let lastMs = 0
  let tokens = 0
  return {
    take(event) {
      if (event.type === 'text') firstMs ??= now()
      if (event.type !== 'finish') return
      lastMs = now()
      tokens = event.usage.completionTokens
    },
    line(colors) {
      const spanMs = lastMs - (firstMs ?? lastMs)
      const speed =
        tokens > 1 && spanMs > 0 ? `, ${(((tokens - 1) * 1000) / spanMs).toFixed(1)} tokens/s` : ''
      return dim(`${tokens} ${tokens === 1 ? 'token' : 'tokens'}${speed}`, colors)
    },
  }
}

export function dim(line: string, colors: boolean): string {
  return colors ? `\u001b[2m${line}\u001b[0m\n` : `${line}\n`
}

/** Text without control characters: a model's answer must not move the cursor or set the title. */
export function safeText(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => (char === '\n' || char === '\t' ? char : ''))
}

export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

/**
 * The error with what a person at a terminal can do about it.
 *
 * @param url the server's address, or the configuration's file, whose router says enough
 */
export function toUserError(error: unknown, url: string): unknown {
  if (!(error instanceof FacetError) || !URL.canParse(url)) return error
  const options = { cause: error }
  if (error.code === 'connection_failed') {
    const message = `No server answers at ${url}; start one with "facet serve", or name another with --url.`
    return new FacetError('connection_failed', message, options)
  }
  if (error.code === 'internal' && error.cause === undefined) {
    // Its failure, told by its own error body, and not a bug in this program.
    return new FacetError('unavailable', `The server failed: ${error.message}`, options)
  }
  const hint =
    error.code === 'unauthorized'
      ? 'pass the key with --api-key or FACET_API_KEY'
      : error.retryAfterMs !== undefined
        ? `try again in ${Math.max(1, Math.ceil(error.retryAfterMs / 1000))} s`
        : undefined
  if (!hint) return error
  return new FacetError(error.code, `${error.message.replace(/\.$/, '')}; ${hint}.`, options)
}
