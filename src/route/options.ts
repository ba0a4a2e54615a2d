/** What `router` takes, checked once. */
import { type Clock, systemClock } from '../client/deadline.ts'
import { TIMEOUTS, withTimeouts } from '../client/options.ts'
import { FacetError } from '../errors.ts'
import type { Attempt, Backend, CallOptions, ChatEvent, ChatRequest, Timeouts, Usage } from '../types.ts'
import type { Policy } from './policy.ts'

/** What is held back before anything is delivered; while it is, the router may move on. */
export interface Held {
  readonly backend: Backend
  readonly request: ChatRequest
  /** `start` and what followed, ending with `finish` when the answer is whole. */
  readonly events: readonly ChatEvent[]
  /** Who would be asked next. */
  readonly others: readonly Backend[]
}

/**
 * Asked at each content held back, and at the finish. hold: wait for more. commit: deliver, and stay
 * with this backend. reject: ask the next one; whoever is asked last is not put to the rule.
 */
export type CommitRule = (held: Held) => 'hold' | 'commit' | 'reject'

/** Says no to an attempt before it is made, and hears what each one cost. */
export interface Budget {
  reserve(backend: Backend, request: ChatRequest): Promise<Reservation>
}

/** The refusal, or what must be called once with the tokens spent. */
export type Reservation = FacetError | ((usage: Usage) => Promise<void>)

/** Callbacks around one call, its object the same in each: a bridge to a tracer keys its spans by it. */
export interface Telemetry {
  callStarted?(call: Call): void
  attemptStarted?(call: Call, attempt: Pick<Attempt, 'backend' | 'number' | 'reason'>): void
  attemptEnded?(call: Call, attempt: Attempt): void
  /** The budget could not be told what an attempt has cost; what was reserved for it stays counted. */
  unsettled?(call: Call, error: unknown): void
  callEnded?(call: Call, outcome: { readonly error?: Error; readonly usage: Usage }): void
}

export interface Call {
  readonly request: ChatRequest
  readonly router: string
}

export interface RouterOptions {
  /** What errors call it. Default: `router`. */
  readonly name?: string
  /** Default: the order given. */
  readonly policy?: Policy
  /** Of each attempt the first two, of the whole call the last. Defaults: 120 s, 30 s, 10 minutes. */
  readonly timeouts?: Partial<Timeouts>
  /** Attempts of one call in all. Default: 6. */
  readonly maxAttempts?: number
  /** Attempts of one call at the same backend. Default: 3. */
  readonly attemptsPerBackend?: number
  /** Longest wait for a backend while another one could be asked. Default: 3 s. */
  readonly patienceMs?: number
  /** Ask the same backend again although it had accepted the request. Default: false. */
  readonly retryAfterAcceptance?: boolean
  /**
   * Until when an answer is held back, and may begin anew elsewhere. content (default): the first
   * content. finish: the whole answer, for callers who do not stream. A rule: as it says.
   */
  readonly commit?: 'content' | 'finish' | CommitRule
  /**
   * Whom to ask for log-probabilities though the caller did not, for the commit rule to read; the caller
   * does not get them. `others` are those who would be asked next. Default: nobody.
   */
  readonly logprobs?: (backend: Backend, others: readonly Backend[]) => boolean
  /** Ask a second backend when the first is slower than usual, and take who is first. Default: false. */
  readonly hedge?: boolean | HedgeOptions
  readonly breaker?: BreakerOptions
  readonly budget?: Budget
  readonly telemetry?: Telemetry
  readonly clock?: Clock
  /** 0 <= random() < 1. Default: `Math.random`. */
  readonly random?: () => number
}

export interface HedgeOptions {
  /** Hedges once an attempt took longer than this share of those before it. Default: 0.97. */
  readonly quantile?: number
  /** Attempts measured before the first hedge. Default: 50. */
  readonly minSamples?: number
  /** Most hedges for each call, on average. Default: 0.05. */
  readonly maxShare?: number
}

export interface BreakerOptions {
  /** Opens when this share of the last 20 attempts failed. Default: 0.5. */
  readonly failureRate?: number
  /** But not before this many failures. Default: 5. */
  readonly minFailures?: number
  /** Open this long, twice as long after each probe that fails. Default: 5 s. */
  readonly openMs?: number
  /** Default: 20 s. */
  readonly maxOpenMs?: number
}

export interface RouterCallOptions extends CallOptions {
  /** Called once when the call ends, however it ends, with the tokens of all its attempts. */
  readonly onUsage?: (usage: Usage) => void
  /** For this call instead of the router's. */
  readonly commit?: RouterOptions['commit']
}

const HEDGE: Required<HedgeOptions> = { quantile: 0.97, minSamples: 50, maxShare: 0.05 }

const BREAKER: Required<BreakerOptions> = {
  failureRate: 0.5,
  minFailures: 5,
  openMs: 5000,
  maxOpenMs: 20_000,
}

const LIMITS = { maxAttempts: 6, attemptsPerBackend: 3, patienceMs: 3000 }

const NO_HEDGE: HedgeOptions = { maxShare: 0 }

export interface Settings extends Required<Omit<RouterOptions, 'budget' | 'telemetry' | 'policy'>> {
  readonly policy: Policy
  readonly budget: Budget | undefined
  readonly telemetry: Telemetry
  readonly hedge: Required<HedgeOptions>
  readonly breaker: Required<BreakerOptions>
}

/** @throws FacetError invalid_request, with the option's name */
export function settingsFrom(options: RouterOptions): Settings {
  const hedge = options.hedge === true ? HEDGE : { ...HEDGE, ...(options.hedge || NO_HEDGE) }
  const breaker = { ...BREAKER, ...options.breaker }
  const limits = {
    maxAttempts: options.maxAttempts ?? LIMITS.maxAttempts,
    attemptsPerBackend: options.attemptsPerBackend ?? LIMITS.attemptsPerBackend,
    patienceMs: options.patienceMs ?? LIMITS.patienceMs,
  }
  withTimeouts(TIMEOUTS, options.timeouts)
  for (const [field, value] of Object.entries({ ...limits, ...hedge, ...breaker })) {
    if (typeof value === 'number' && value >= 0) continue
    throw new FacetError('invalid_request', `${field} must be a number of at least 0, but is ${value}.`, {
      field,
    })
  }
  return {
    ...limits,
    hedge,
    breaker,
    name: options.name ?? 'router',
    policy: options.policy ?? ((_, pool) => [...pool.keys()]),
    timeouts: options.timeouts ?? {},
    retryAfterAcceptance: options.retryAfterAcceptance ?? false,
    commit: options.commit ?? 'content',
    logprobs: options.logprobs ?? (() => false),
    budget: options.budget,
    telemetry: options.telemetry ?? {},
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  }
}

/** What a function of the caller's gives; what it throws is no fault of any backend. */
export function given<T>(field: string, what: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof FacetError) throw cause
    throw new FacetError('invalid_request', `${what} threw an error.`, { field, cause })
  }
}
