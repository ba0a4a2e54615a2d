/** What one call tells of itself: the tokens of its attempts, to its budget, its caller and its tracer. */
import { plus } from '../client/answer.ts'
import type { Attempt, Usage } from '../types.ts'
import { NOTHING } from './attempt.ts'
import type { Call, Reservation, RouterCallOptions, Telemetry } from './options.ts'

type Settle = Exclude<Reservation, Error>

export class CallReport {
  readonly #call: Call
  readonly #telemetry: Telemetry
  readonly #own: RouterCallOptions
  readonly #settling: Promise<void>[] = []
  #usage = NOTHING

  constructor(call: Call, telemetry: Telemetry, own: RouterCallOptions) {
    this.#call = call
    this.#telemetry = telemetry
    this.#own = own
  }

  started(): void {
    this.#tell(() => this.#telemetry.callStarted?.(this.#call))
  }

  attemptStarted(attempt: Pick<Attempt, 'backend' | 'number' | 'reason'>): void {
    const { backend, number, reason } = attempt
    this.#tell(() => this.#telemetry.attemptStarted?.(this.#call, { backend, number, reason }))
  }

  attemptEnded(attempt: Attempt, settle: Settle | undefined): void {
    this.#usage = plus(this.#usage, attempt.usage)
    if (settle) this.#settling.push(this.#settled(settle, attempt.usage))
    this.#tell(() => this.#telemetry.attemptEnded?.(this.#call, attempt))
    this.#tell(() => this.#own.onAttempt?.(attempt))
  }

  /** When the budget knows what every attempt has cost, or could not be told. */
  async settled(): Promise<void> {
    await Promise.all(this.#settling)
  }

  ended(error: Error | undefined): void {
    const usage: Usage = this.#usage
    this.#tell(() => this.#own.onUsage?.(usage))
    this.#tell(() => this.#telemetry.callEnded?.(this.#call, { ...(error && { error }), usage }))
  }

  async #settled(settle: Settle, usage: Usage): Promise<void> {
    try {
      await settle(usage)
    } catch (error) {
      // The answer is there, and what was reserved stays counted: at most too much, never too little.
      this.#tell(() => this.#telemetry.unsettled?.(this.#call, error))
    }
  }

  /** Who listens must not change the answer: what a callback throws surfaces as an uncaught error. */
  #tell(listener: () => void): void {
    try {
      listener()
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
