/** How long a queue may last: the estimate behind Retry-After. */

/** Until an answer has been timed. */
const FIRST_GUESS_MS = 5_000
const LEAST_MS = 1_000
const MOST_MS = 60_000
/** Share of a new time in the running mean. */
const WEIGHT = 1 / 8

export class WaitEstimate {
  #meanMs = FIRST_GUESS_MS

  /** An answer has held its place for this long. */
  add(tookMs: number): void {
    this.#meanMs += (tookMs - this.#meanMs) * WEIGHT
  }

  /** Whole milliseconds until one more than `waiting` requests have had one of `places`, within reason. */
  after(waiting: number, places: number): number {
    return Math.ceil(Math.min(Math.max((this.#meanMs * (waiting + 1)) / places, LEAST_MS), MOST_MS))
  }
}
