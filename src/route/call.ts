/** One call through the router: the one loop that owns its attempts, until one is ready to deliver. */
import { Deadline } from '../client/deadline.ts'
import { TIMEOUTS, withTimeouts } from '../client/options.ts'
import { changed, FacetError } from '../errors.ts'
import type { Backend, ChatEvent, ChatRequest, Timeouts } from '../types.ts'
import { NOTHING, RunningAttempt } from './attempt.ts'
import type { BackendHealth } from './health.ts'
import {
  type Call,
  type CommitRule,
  given,
  type Held,
  type Reservation,
  type RouterCallOptions,
  type Settings,
} from './options.ts'
import { type Entry, Plan, type Step } from './plan.ts'
import { CallReport } from './report.ts'

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
  readonly #report: CallReport
  #mayHedge = true

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
    this.#report = new CallReport(this, settings.telemetry, own)
    this.#plan = new Plan(settings, () => clock.ticks(), random)
    this.#deadline = new Deadline(this.#timeouts, own, clock, name)
    this.#endsAtMs = clock.ticks() + this.#timeouts.totalMs
    shared.hedges = Math.min(MAX_SAVED_HEDGES, shared.hedges + hedge.maxShare)
  }

  async *run(): AsyncGenerator<ChatEvent> {
    let error: Error | undefined
    this.#report.started()
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
      // A store that hangs holds up nobody who has left, nor anybody beyond the deadline.
      await this.#deadline.wait(this.#report.settled()).catch(() => {})
      this.#deadline.dispose()
      this.#report.ended(error)
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
    const { clock, budget, logprobs } = this.#settings
    if (waitMs > 0) await this.#pause(waitMs)
    // Without a pause there is no moment in which another call could probe the same circuit.
    const settle = budget && (await this.#reserved(budget.reserve(entry.backend, this.request)))
    if (settle instanceof FacetError) {
      this.#failed(entry, changed(settle, { backend: entry.backend.name }))
      return
    }
    const { backend } = entry
    const judged =
      this.request.logprobs === undefined &&
      backend.model.features?.includes('logprobs') !== false &&
      logprobs(backend, this.#plan.others)
    const attempt = new RunningAttempt(step, {
      request: this.request,
      judged,
      signal: this.#deadline.signal,
      timeouts: this.#timeouts,
      own: this.#explicit,
      clock,
      number: this.#plan.made,
      ended: (ended) => this.#report.attemptEnded(ended, settle),
    })
    this.#report.attemptStarted(attempt)
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
      if (error instanceof FacetError || this.#deadline.signal.aborted) throw error
      throw new FacetError('unavailable', 'The budget could not be asked, so nothing was sent.', {
        retry: 'never',
        cause: error,
      })
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
    return given('commit', 'The commit rule, or its guard,', () => rule({ ...held, others }))
  }

  #failed(entry: Entry, error: FacetError): void {
    this.#errors.push(error)
    if (error.retry === 'never') throw error
    this.#plan.failed(entry, error)
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
}
