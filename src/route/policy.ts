/** What a policy is: a plain function that says whom to ask, and in which order. */
import type { Backend, ChatRequest } from '../types.ts'

/** What the router has seen of one backend. Policies read it; only the router writes it. */
export interface Health {
  /**
   * closed: it answers. open: it failed too often, and is asked only when nobody else is left.
   * half-open: it may be asked again, by one request at a time.
   */
  readonly state: 'closed' | 'open' | 'half-open'
  /** Attempts under way. */
  readonly active: number
  /** Share of recent attempts that failed, 0 to 1. */
  readonly failureRate: number
  /**
   * Time to the first content below which this share of recent attempts stayed, for example
   * `latencyMs(0.95)`; undefined until something was measured.
   */
  latencyMs(quantile: number): number | undefined
}

/**
 * Orders the backends for one request, best first; those left out are not asked. Called once a call.
 * The router moves backends whose circuit is open to the end by itself.
 */
export type Policy = (request: ChatRequest, pool: ReadonlyMap<Backend, Health>) => readonly Backend[]
