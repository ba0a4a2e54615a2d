/** One call through the router: the one loop that owns its attempts, until one is ready to deliver. */
import { plus } from '../client/answer.ts'
import { Deadline } from '../client/deadline.ts'
import { TIMEOUTS, withTimeouts } from '../client/options.ts'
import { changed, FacetError } from '../errors.ts'
import type { Attempt, Backend, ChatEvent, ChatRequest, Timeouts } from '../types.ts'
import { NOTHING, RunningAttempt } from './attempt.ts'
import type { BackendHealth } from './health.ts'
import type {
  Call,
  CommitRule,
  Held,
  Reservation,
  RouterCallOptions,
  Settings,
  Telemetry,
} from './options.ts'
import { type Entry, Plan, type Step } from './plan.ts'

/** What the calls of one router share. */
export interface Shared {
  readonly settings: Settings
  /** Hedges that may be made now; each call adds its share. */
  hedges: number
  /** Who may be asked now, best first. */
  order(request: ChatRequest): readonly (readonly [Backend, BackendHealth])[]
}

/** How an attempt stands: ready to deliver, failed, or (neither) rejected. */
interface Settled {
  readonly attempt: RunningAttempt
  readonly ready: boolean
  readonly error?: FacetError
}

/** Hedges that may be saved up for a bad moment. */
const MAX_SAVED_HEDGES = 10

export class RouterCall implements Call {
  readonly request: ChatRequest
  readonly router: string
  readonly #shared: Shared
  readonly #settings: Settings
  readonly #own: RouterCallOptions
  readonly #plan: Plan
  readonly #deadline: Deadline
  /** What the caller or the router asks for, which a backend's own defaults must not undercut. */
  readonly #explicit: Partial<Timeouts>
  readonly #timeouts: Timeouts
  readonly #endsAtMs: number
  readonly #running = new Map<RunningAttempt, Promise<Settled>>()
  readonly #errors: FacetError[] = []
  readonly #settling: Promise<void>[] = []
  #mayHedge = true
  #usage = NOTHING

  constructor(shared: Shared, request: ChatRequest, own: RouterCallOptions) {
    const { settings } = shared
    const { clock, random, name, hedge } = settings
    this.#explicit = { ...settings.timeouts, ...own.timeouts }
    this.#timeouts = withTimeouts(TIMEOUTS, this.#explicit)
    this.request = request
    this.router = name
    this.#shared = shared
    this.#settings = settings
    this.#own = own
    this.#plan = new Plan(settings, () => clock.ticks(), random)
    this.#deadline = new Deadline(this.#timeouts, own, clock, name)
    this.#endsAtMs = clock.ticks() + this.#timeouts.totalMs
    shared.hedges = Math.min(MAX_SAVED_HEDGES, shared.hedges + hedge.maxShare)
  }

  async *run(): AsyncGenerator<ChatEvent> {
    let error: Error | undefined
    this.#tell((telemetry) => telemetry.callStarted?.(this))
    try {
      this.#deadline.signal.throwIfAborted()
      this.#deadline.start('totalMs')
      const winner = await this.#race()
      for (const attempt of this.#running.keys()) if (attempt !== winner) attempt.outrun()
      yield* winner.deliver()
    } catch (thrown) {
      error = thrown as Error
      throw thrown
    } finally {
      for (const attempt of this.#running.keys()) attempt.end('cancelled')
      this.#deadline.dispose()
      await Promise.all(this.#settling)
      this.#own.onUsage?.(this.#usage)
      this.#tell((telemetry) => telemetry.callEnded?.(this, { ...(error && { error }), usage: this.#usage }))
    }
  }

  /** @throws FacetError when nobody is left to ask, or asking somebody else would not help */
  async #race(): Promise<RunningAttempt> {
    for (;;) {
      if (this.#running.size === 0) {
        this.#plan.offer(this.#shared.order(this.request))
        const step = this.#plan.next()
        if (!step) throw this.#failure()
        await this.#launch(step)
        continue
      }
      const settled = await this.#deadline.wait(this.#firstSettled())
      if (!settled) continue
      const { attempt, ready, error } = settled
      if (ready) return attempt
      this.#running.delete(attempt)
      if (error) this.#failed(attempt.entry, error)
      else this.#plan.rejected(attempt.entry)
    }
  }

  /** The first attempt to settle; undefined when a second one was sent beside a slow first. */
  async #firstSettled(): Promise<Settled | undefined> {
    const settling = [...this.#running.values()]
    const delayMs = this.#hedgeDelayMs()
    if (delayMs === undefined) return Promise.race(settling)
    const late = Promise.withResolvers<undefined>()
    const cancel = this.#settings.clock.after(delayMs, () => late.resolve(undefined))
    const settled = await Promise.race([...settling, late.promise])
    cancel()
    if (settled) return settled
    this.#mayHedge = false
    const step = this.#plan.beside()
    if (!step) return undefined
    this.#shared.hedges--
    await this.#launch(step)
    return undefined
  }

  /** How much longer to wait before hedging; undefined: not at all. */
  #hedgeDelayMs(): number | undefined {
    const { hedge } = this.#settings
    const [attempt, second] = this.#running.keys()
    if (!attempt || second || !this.#mayHedge || this.#shared.hedges < 1) return undefined
    const { health } = attempt.entry
    if (health.samples < hedge.minSamples) return undefined
    return Math.max(0, (health.latencyMs(hedge.quantile) ?? 0) - attempt.elapsedMs)
  }

  /** Sends an attempt, or notes why the budget does not allow it: one beside it may still answer. */
  async #launch(step: Step): Promise<void> {
    const { entry, waitMs } = step
    const { clock, budget } = this.#settings
    if (waitMs > 0) await this.#pause(waitMs)
    // Without a pause there is no moment in which another call could probe the same circuit.
    const settle = budget && (await this.#reserved(budget.reserve(entry.backend, this.request)))
    if (settle instanceof FacetError) {
      this.#failed(entry, changed(settle, { backend: entry.backend.name }))
      return
    }
    const attempt = new RunningAttempt(step, {
      request: this.request,
      signal: this.#deadline.signal,
      timeouts: this.#timeouts,
      own: this.#explicit,
      clock,
      number: this.#plan.made,
      ended: (report) => {
        if (settle) this.#settling.push(settle(report.usage))
        this.#ended(report)
      },
    })
    const { backend, number, reason } = attempt
    this.#tell((telemetry) => telemetry.attemptStarted?.(this, { backend, number, reason }))
    const settled = attempt
      .begin((held) => this.#verdictOf(held))
      .then(
        (ready) => ({ attempt, ready }),
        (error: FacetError) => ({ attempt, ready: false, error }),
      )
    this.#running.set(attempt, settled)
  }

  /** Waits for the budget; what it reserves after the call has ended is given back. */
  async #reserved(reserving: Promise<Reservation>): Promise<Reservation> {
    try {
      return await this.#deadline.wait(reserving)
    } catch (error) {
      // The error of a reservation that failed is the one thrown here.
      reserving.then((late) => (late instanceof FacetError ? undefined : late(NOTHING))).catch(() => {})
      throw error
    }
  }

  async #pause(waitMs: number): Promise<void> {
    const { clock } = this.#settings
    if (clock.ticks() + waitMs > this.#endsAtMs) throw this.#failure()
    const over = Promise.withResolvers<void>()
    const cancel = clock.after(waitMs, over.resolve)
    await this.#deadline.wait(over.promise).finally(cancel)
  }

  #verdictOf(held: Omit<Held, 'others'>): ReturnType<CommitRule> {
    const rule = this.#own.commit ?? this.#settings.commit
    if (rule === 'content') return 'commit'
    // At the finish there is nothing more to wait for.
    if (rule === 'finish') return 'hold'
    const { others } = this.#plan
    if (others.length === 0) return 'commit'
    try {
      return rule({ ...held, others })
    } catch (cause) {
      // No fault of the backend, and no other one would change it.
      throw new FacetError('invalid_request', 'The commit rule, or its guard, threw an error.', {
        field: 'commit',
        cause,
      })
    }
  }

  #failed(entry: Entry, error: FacetError): void {
    this.#errors.push(error)
    if (error.retry === 'never') throw error
    this.#plan.failed(entry, error)
  }

  #ended(attempt: Attempt): void {
    this.#usage = plus(this.#usage, attempt.usage)
    this.#tell((telemetry) => telemetry.attemptEnded?.(this, attempt))
    this.#tell(() => this.#own.onAttempt?.(attempt))
  }

  /** Why nobody answered: the only error, or the last one with the others in its message. */
  #failure(): FacetError {
    const last = this.#errors.at(-1)
    if (!last) return new FacetError('unavailable', `${this.router} has no backend for this request.`)
    if (this.#errors.length === 1) return last
    const said = this.#errors.map(({ backend, message }) => `${backend}: ${message}`)
    const message = `No backend of ${this.router} could answer. ${[...new Set(said)].join(' ')}`
    return changed(last, { cause: new AggregateError(this.#errors) }, message)
  }

  /** Who listens must not change the answer: what a callback throws surfaces as an uncaught error. */
  #tell(listener: (telemetry: Telemetry) => void): void {
    try {
      listener(this.#settings.telemetry)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
