/** What a guard asks and is told: exhibits, judges, verdicts, and what becomes of a text that could not be judged. */
import { FacetError, toFacetError } from '../errors.ts'
import type { CallOptions, ChatRequest } from '../types.ts'

/** What a judge is shown. */
export interface Exhibit {
  /** What the asking side has written, system message included. */
  readonly question: string
  /** What the model has answered so far; undefined while nothing is. */
  readonly answer?: string
}

export interface Verdict {
  readonly allowed: boolean
  /** The policy that is violated, or comes closest to it. */
  readonly policy?: string
  /** Of a violation, 0 to 1. */
  readonly probability?: number
}

/** Anything that can tell whether a text may pass. Throws when it cannot. */
export type Judge = (exhibit: Exhibit, options: { readonly signal: AbortSignal }) => Promise<Verdict>

/** A verdict, or the lack of one, without the text it was about. */
export interface Judgement {
  readonly side: 'input' | 'output'
  /** Whether the text was let through. */
  readonly passed: boolean
  readonly verdict?: Verdict
  /** Why there is no verdict. */
  readonly error?: FacetError
}

export interface GuardOptions {
  readonly judge: Judge
  /**
   * What becomes of a text the judge could not judge: `closed` refuses it with `unavailable`, `open` lets it
   * through. Default closed.
   */
  readonly onFailure?: 'closed' | 'open'
  /** A judge that takes longer has failed. Default 30,000. */
  readonly timeoutMs?: number
  /** Told of every judgement, and what it was about: `audit` makes records of them. */
  readonly onJudgement?: (judgement: Judgement, exhibit: Exhibit) => void
}

const DEFAULT_TIMEOUT_MS = 30_000

/**
 * Whether the exhibit may pass.
 *
 * @throws FacetError aborted; unavailable when the judge has failed and the guard fails closed
 */
export async function passes(
  side: Judgement['side'],
  exhibit: Exhibit,
  { judge, onFailure = 'closed', timeoutMs = DEFAULT_TIMEOUT_MS, onJudgement }: GuardOptions,
  { signal }: CallOptions,
): Promise<boolean> {
  const limit = AbortSignal.timeout(timeoutMs)
  try {
    const verdict = await judge(exhibit, { signal: signal ? AbortSignal.any([signal, limit]) : limit })
    onJudgement?.({ side, passed: verdict.allowed, verdict }, exhibit)
    return verdict.allowed
  } catch (thrown) {
    if (signal?.aborted) throw toFacetError(thrown)
    const error = toFacetError(thrown)
    onJudgement?.({ side, passed: onFailure === 'open', error }, exhibit)
    if (onFailure === 'open') return true
    throw new FacetError(
      'unavailable',
      'The safety check of this server failed, so that it gives no answer; try again later.',
      { cause: error },
    )
  }
}

/**
 * What the asking side has written. Callers send whole conversations, and may put anything into any of its
 * messages but the model's own.
 *
 * @throws FacetError unsupported for token ids, which cannot be read here
 */
export function questionOf({ messages, prompt }: ChatRequest): string {
  if (messages) {
    return messages
      .filter(({ role }) => role !== 'assistant')
      .map(({ content }) => content)
      .join('\n\n')
  }
  if (typeof prompt === 'string') return prompt
  throw new FacetError(
    'unsupported',
    'prompt must be text on this server, since its safety check cannot read token ids; send text.',
    { field: 'prompt', status: 400 },
  )
}
