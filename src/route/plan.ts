/** Whom to ask next, and when: the one list of attempts that retries and fallbacks share. */
import type { FacetError } from '../errors.ts'
import type { Attempt, Backend } from '../types.ts'
import type { BackendHealth } from './health.ts'

export interface PlanLimits {
  readonly maxAttempts: number
  readonly attemptsPerBackend: number
  readonly patienceMs: number
  readonly retryAfterAcceptance: boolean
}

/** One backend's place in the list. */
export interface Entry {
  readonly backend: Backend
  readonly health: BackendHealth
  made: number
  /** In ticks. */
  readyAtMs: number
  /** Its answer was held back and found not good enough. */
  rejected: boolean
}

export interface Step {
  readonly entry: Entry
  readonly waitMs: number
  readonly reason: Attempt['reason']
}

/** Full jitter: somewhere between nothing and this, doubled with each attempt. */
const BACKOFF_MS = 500
const MAX_BACKOFF_MS = 8000

/** What the same backend would only say again. */
const FINAL: ReadonlySet<string> = new Set([
  'context_length_exceeded',
  'unauthorized',
  'forbidden',
  'model_not_found',
  'unsupported',
  'out_of_memory',
  'budget_exceeded',
])

export class Plan {
  /** Attempts planned so far. */
  made = 0
  #queue: Entry[] = []
  readonly #known = new Set<Backend>()
  #last: Entry | undefined
  readonly #limits: PlanLimits
  readonly #ticks: () => number
  readonly #random: () => number

  constructor(limits: PlanLimits, ticks: () => number, random: () => number) {
    this.#limits = limits
    this.#ticks = ticks
    this.#random = random
  }

  /** Who may be asked, best first. Later calls add who has come and drop who has gone. */
  offer(order: readonly (readonly [Backend, BackendHealth])[]): void {
    const offered = new Set(order.map(([backend]) => backend))
    this.#queue = this.#queue.filter(({ backend }) => offered.has(backend))
    for (const [backend, health] of order) {
      if (this.#known.has(backend)) continue
      this.#known.add(backend)
      const readyAtMs = this.#ticks() + health.restMs
      this.#queue.push({ backend, health, made: 0, readyAtMs, rejected: false })
    }
  }

  /** Takes the next attempt from the list; undefined when there is none left to make. */
  next(): Step | undefined {
    const ready = this.#queue.filter((entry) => this.#isReady(entry))
    // When nobody is known to answer, asking is better than guessing that nobody would.
    return this.#take(ready.find(({ rejected }) => !rejected) ?? ready[0] ?? this.#soonest())
  }

  /** A second attempt to run beside the first; undefined when nobody else could answer at once. */
  beside(): Step | undefined {
    const step = this.#take(this.#queue.find((entry) => this.#isReady(entry) && !entry.rejected))
    return step && { ...step, reason: 'hedge' }
  }

  /** Who could still be asked, without those whose answer was rejected. */
  get others(): readonly Backend[] {
    if (this.made >= this.#limits.maxAttempts) return []
    return this.#queue.filter(({ rejected }) => !rejected).map(({ backend }) => backend)
  }

  /** Puts the backend back into the list where asking it again may help. */
  failed(entry: Entry, error: FacetError): void {
    const { attemptsPerBackend, patienceMs, retryAfterAcceptance } = this.#limits
    const waitMs = error.retryAfterMs ?? this.#backoffMs(entry.made)
    if (error.retryAfterMs !== undefined) entry.health.rest(waitMs)
    entry.readyAtMs = this.#ticks() + waitMs
    // A server that was silent until the deadline may be working on it all the same.
    const accepted = error.accepted || error.code === 'timeout'
    if (FINAL.has(error.code) || entry.made >= attemptsPerBackend) return
    if (accepted && !retryAfterAcceptance) return
    const here = error.retry === 'same' && entry.made === 1 && waitMs <= patienceMs
    if (here) this.#queue.unshift(entry)
    else this.#queue.push(entry)
  }

  /** Not good enough: asked again only when everybody else has failed. */
  rejected(entry: Entry): void {
    entry.rejected = true
    if (entry.made < this.#limits.attemptsPerBackend) this.#queue.push(entry)
  }

  #take(entry: Entry | undefined): Step | undefined {
    if (!entry || this.made >= this.#limits.maxAttempts) return undefined
    this.#queue = this.#queue.filter((each) => each !== entry)
    const reason = this.#reasonFor(entry)
    this.#last = entry
    this.made++
    entry.made++
    return { entry, waitMs: Math.max(0, entry.readyAtMs - this.#ticks()), reason }
  }

  #reasonFor(entry: Entry): Attempt['reason'] {
    if (!this.#last) return 'first'
    if (entry.made > 0) return 'retry'
    return this.#last.rejected ? 'escalation' : 'fallback'
  }

  /** A backend that this call has asked is worth a short wait; any other must be free to answer. */
  #isReady({ health, readyAtMs, made }: Entry): boolean {
    const patienceMs = made > 0 ? this.#limits.patienceMs : 0
    return health.willing && readyAtMs - this.#ticks() <= patienceMs
  }

  #soonest(): Entry | undefined {
    return this.#queue.reduce<Entry | undefined>(
      (best, entry) => (best && best.readyAtMs <= entry.readyAtMs ? best : entry),
      undefined,
    )
  }

  #backoffMs(made: number): number {
    return this.#random() * Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** (made - 1))
  }
}
