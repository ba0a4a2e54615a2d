/** Asks services about rows: a few at a time, and again where they fail in passing. */
import { type Clock, systemClock } from '../../client/deadline.ts'
import { untilTick } from '../../client/until-tick.ts'
import { toFacetError } from '../../errors.ts'
import { backoffMs, TRIES } from '../../eval/backoff.ts'

/** Rows that one service is asked about at the same time. */
const AT_ONCE = 8

/** One service. */
export class Asking {
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  #free = AT_ONCE

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** @throws what the question throws, where asking again cannot help or has not helped */
  async ask<Answer>(question: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await this.#again(question, signal)
    } finally {
      // The place is handed on, so that nobody who comes later takes it.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }

  async #again<Answer>(question: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      try {
        signal.throwIfAborted()
        return await question()
      } catch (thrown) {
        const error = toFacetError(thrown)
        if (error.retry === 'never' || error.code === 'internal' || signal.aborted || tries === TRIES)
          throw error
        await untilTick(this.#clock.ticks() + backoffMs(error, tries), this.#clock, signal)
      }
    }
  }
}
