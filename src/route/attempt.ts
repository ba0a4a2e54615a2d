/** One try at one backend: its deadlines, what it holds back, what it did to health and usage. */
import { Tally } from '../client/answer.ts'
import { type Clock, Deadline } from '../client/deadline.ts'
import { changed, FacetError, toFacetError } from '../errors.ts'
import type { Attempt, ChatEvent, ChatRequest, Timeouts, Usage } from '../types.ts'
import { failureOf } from './health.ts'
import type { CommitRule, Held } from './options.ts'
import type { Entry, Step } from './plan.ts'

export const NOTHING: Usage = { promptTokens: 0, completionTokens: 0 }

export interface AttemptContext {
  readonly request: ChatRequest
  /** Asks for log-probabilities, which the commit rule reads and the caller does not get. */
  readonly judged: boolean
  /** Ends the attempt from outside: the caller's own signal, and the time limit of the whole call. */
  readonly signal: AbortSignal
  readonly timeouts: Timeouts
  /** Handed on to the backend. */
  readonly own: Partial<Timeouts>
  readonly clock: Clock
  readonly number: number
  /** Hears once how it ended. */
  readonly ended: (attempt: Attempt) => void
}

export class RunningAttempt {
  readonly entry: Entry
  readonly backend: string
  readonly number: number
  readonly reason: Attempt['reason']
  readonly #step: Step
  readonly #context: AttemptContext
  readonly #deadline: Deadline
  readonly #tally: Tally
  #events: AsyncIterator<ChatEvent> | undefined
  readonly #held: ChatEvent[] = []
  readonly #probe: boolean
  readonly #startedMs: number
  #firstTokenMs: number | undefined
  #over = false

  constructor(step: Step, context: AttemptContext) {
    const { entry } = step
    const { request, signal, timeouts, clock } = context
    this.entry = entry
    this.backend = entry.backend.name
    this.number = context.number
    this.#step = step
    this.#context = context
    this.#probe = entry.health.begin()
    this.reason = this.#probe ? 'probe' : step.reason
    this.#startedMs = clock.ticks()
    this.#tally = new Tally(request)
    this.#deadline = new Deadline(timeouts, { signal }, clock, entry.backend.name)
  }

  /**
   * Reads until the rule commits, false when it rejects.
   *
   * @throws FacetError after which nothing has been delivered
   */
  async begin(verdictOf: (held: Omit<Held, 'others'>) => ReturnType<CommitRule>): Promise<boolean> {
    const { backend } = this.entry
    const { request, own, judged } = this.#context
    try {
      this.#deadline.start('firstTokenMs')
      const options = { signal: this.#deadline.signal, timeouts: own }
      const asked = judged ? { ...request, logprobs: 0 } : request
      this.#events = backend.chat(asked, options)[Symbol.asyncIterator]()
      for (;;) {
        const event = await this.#next()
        this.#held.push(event)
        if (event.type === 'start') continue
        const verdict = verdictOf({ backend, request, events: this.#held })
        if (verdict === 'reject') this.end('rejected')
        if (verdict !== 'hold' || event.type === 'finish') return verdict !== 'reject'
      }
    } catch (thrown) {
      const error = this.#undelivered(toFacetError(thrown))
      this.end('failed', error)
      throw error
    }
  }

  /** What was held back, and the rest as it comes. */
  async *deliver(): AsyncGenerator<ChatEvent> {
    const held = this.#held
    try {
      for (let at = 0; ; at++) {
        const event = this.#shown(held[at] ?? (await this.#next()))
        // Before the caller has it: with the finish in hand many leave the loop.
        if (event.type === 'finish') this.end('answered')
        yield event
        if (event.type === 'finish') return
      }
    } catch (thrown) {
      const error = changed(toFacetError(thrown), { retry: 'never' })
      this.end('failed', error)
      throw error
    } finally {
      // Where the caller left the loop.
      this.end('cancelled')
    }
  }

  /** Stops it, if it still runs, and tells once how it ended. */
  end(outcome: Attempt['outcome'], error?: FacetError): void {
    if (this.#over) return
    this.#over = true
    const { entry, backend, number, reason } = this
    const durationMs = this.elapsedMs
    this.#deadline.dispose()
    // Not awaited: a backend that hangs would hold up the caller. It has nothing left to tell.
    this.#events?.return?.().catch(() => {})
    const aborted = outcome === 'cancelled' || error?.code === 'aborted'
    entry.health.end(this.#probe, aborted ? undefined : failureOf(error))
    this.#context.ended({
      backend,
      number,
      reason,
      outcome: aborted ? 'cancelled' : outcome,
      ...(error && { error }),
      waitedMs: this.#step.waitMs,
      ...(this.#firstTokenMs !== undefined && { firstTokenMs: this.#firstTokenMs }),
      durationMs,
      usage: this.#usage(error),
    })
  }

  get elapsedMs(): number {
    return this.#context.clock.ticks() - this.#startedMs
  }

  /** A faster one has won: this one would have taken at least this long. */
  outrun(): void {
    // Left out, the slowest would be missing from the latencies, and ever more would seem slow.
    if (this.#firstTokenMs === undefined) this.entry.health.measure(this.elapsedMs)
    this.end('cancelled')
  }

  #shown(event: ChatEvent): ChatEvent {
    return this.#context.judged && event.type === 'text' ? { type: 'text', text: event.text } : event
  }

  async #next(): Promise<ChatEvent> {
    const deadline = this.#deadline
    if (this.#firstTokenMs !== undefined) deadline.start('idleMs')
    const { done, value: event } = await deadline.wait(this.#events!.next())
    deadline.stop('idleMs')
    if (done) {
      const message = `${this.backend} ended its answer before it was complete.`
      throw new FacetError('stream_interrupted', message, { backend: this.backend })
    }
    if (event.type === 'finish') this.#tally.reported = event.usage
    else if (event.type !== 'start') this.#tally.add(event)
    if (event.type !== 'start' && this.#firstTokenMs === undefined) {
      deadline.stop('firstTokenMs')
      this.#firstTokenMs = this.elapsedMs
      this.entry.health.measure(this.#firstTokenMs)
    }
    return event
  }

  /** After content the backend advises against asking again; but here nothing of it was delivered. */
  #undelivered(error: FacetError): FacetError {
    if (error.code === 'stream_interrupted') {
      return new FacetError('bad_response', error.message, {
        backend: this.backend,
        accepted: true,
        cause: error,
      })
    }
    return this.#firstTokenMs === undefined ? error : changed(error, { retry: undefined, accepted: true })
  }

  /** A server that refused has spent nothing; one that took the request may have. */
  #usage(error: FacetError | undefined): Usage {
    const spent = this.#firstTokenMs !== undefined || !error || error.accepted || error.code === 'timeout'
    return spent ? this.#tally.usage : NOTHING
  }
}
