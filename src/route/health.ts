/** What the router has seen of one backend: its circuit, its latencies, how busy it is. */
import type { Clock } from '../client/deadline.ts'
import type { FacetError } from '../errors.ts'
import type { BreakerOptions } from './options.ts'
import type { Health } from './policy.ts'
import { Reservoir } from './reservoir.ts'

/** Attempts that the failure rate looks back on. */
const WINDOW = 20

export class BackendHealth implements Health {
  active = 0
  readonly #latencies: Reservoir
  readonly #clock: Clock
  readonly #breaker: Required<BreakerOptions>
  /** Of the last attempts, true for each that failed. */
  #outcomes: boolean[] = []
  #tripped = false
  #probing = false
  /** In ticks: until then the circuit is open. */
  #openUntilMs = 0
  #openMs = 0
  #restUntilMs = 0

  constructor(clock: Clock, random: () => number, breaker: Required<BreakerOptions>) {
    this.#clock = clock
    this.#breaker = breaker
    this.#latencies = new Reservoir(random)
  }

  get state(): Health['state'] {
    if (!this.#tripped) return 'closed'
    return this.#clock.ticks() < this.#openUntilMs ? 'open' : 'half-open'
  }

  get failureRate(): number {
    return this.#failures / (this.#outcomes.length || 1)
  }

  get samples(): number {
    return this.#latencies.size
  }

  latencyMs(quantile: number): number | undefined {
    return this.#latencies.quantile(quantile)
  }

  /** False while its circuit is open, and while another request probes it. */
  get willing(): boolean {
    return !this.#tripped || (this.state === 'half-open' && !this.#probing)
  }

  /** How much longer the server asked to be left alone. */
  get restMs(): number {
    return Math.max(0, this.#restUntilMs - this.#clock.ticks())
  }

  /** The server asked to be left alone this long. */
  rest(ms: number): void {
    this.#restUntilMs = Math.max(this.#restUntilMs, this.#clock.ticks() + ms)
  }

  /** An attempt is about to be sent; true when it probes the circuit. */
  begin(): boolean {
    this.active++
    const probe = this.#tripped && !this.#probing
    this.#probing ||= probe
    return probe
  }

  /** Took this long to its first content, or was given up after having taken at least this long. */
  measure(latencyMs: number): void {
    this.#latencies.add(latencyMs, this.#clock.ticks())
  }

  /** An attempt has ended. @param failed undefined when that says nothing about the backend */
  end(probe: boolean, failed: boolean | undefined): void {
    this.active--
    if (probe) this.#probing = false
    if (failed === undefined) return
    if (!failed && this.#tripped) {
      this.#tripped = false
      this.#openMs = 0
      this.#outcomes = []
    }
    this.#outcomes.push(failed)
    if (this.#outcomes.length > WINDOW) this.#outcomes.shift()
    if (failed && (this.#tripped ? probe : this.#isBad)) this.#trip()
  }

  get #failures(): number {
    return this.#outcomes.filter(Boolean).length
  }

  get #isBad(): boolean {
    return this.#failures >= this.#breaker.minFailures && this.failureRate >= this.#breaker.failureRate
  }

  #trip(): void {
    this.#tripped = true
    this.#openMs = Math.min(this.#openMs * 2 || this.#breaker.openMs, this.#breaker.maxOpenMs)
    this.#openUntilMs = this.#clock.ticks() + this.#openMs
  }
}

/** What an attempt's end says of the backend: failed, answered, or (undefined) nothing, as it was the request's fault. */
export function failureOf(error: FacetError | undefined): boolean | undefined {
  if (!error) return false
  const { code, status } = error
  const blamed = status >= 500 || code === 'unauthorized' || code === 'forbidden'
  return blamed && code !== 'unsupported' ? true : undefined
}
