/** A bounded queue before a backend: so many answers at once, so many waiting, and no more. */
import { WaitEstimate } from '../engine/wait-estimate.ts'
import { abortedError, FacetError } from '../errors.ts'
import { override } from '../guard/layer.ts'
import type { Layer } from '../types.ts'
import { type Ask, asking } from './asking.ts'

export interface QueueOptions {
  /** Answers at the same time. Default 512. */
  readonly running?: number
  /** Requests that may wait for one of them to end. Default 512. */
  readonly waiting?: number
}

const DEFAULT_RUNNING = 512
const DEFAULT_WAITING = 512

/** First come, first served. */
export class Queue {
  readonly #most: Required<QueueOptions>
  readonly #now: () => number
  readonly #waiting: (() => void)[] = []
  #running = 0
  readonly #wait: WaitEstimate = new WaitEstimate()

  constructor(options: QueueOptions = {}, now: () => number = () => performance.now()) {
    this.#most = { running: options.running ?? DEFAULT_RUNNING, waiting: options.waiting ?? DEFAULT_WAITING }
    this.#now = now
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /**
   * Waits for a place; what it returns gives the place back.
   *
   * @throws FacetError queue_full at once, with the time after which a place should be free; aborted
   */
  async enter(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted) throw abortedError(signal)
    if (this.#running < this.#most.running) this.#running++
    else await this.#turn(signal)
    const startMs = this.#now()
    return () => {
      this.#wait.add(this.#now() - startMs)
      const next = this.#waiting.shift()
      // The place goes from one to the next without becoming free.
      if (next) next()
      else this.#running--
    }
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.length >= this.#most.waiting) throw this.#full()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      const at = this.#waiting.indexOf(resolve)
      // Not there: the place was given in the same moment, and is given back by whoever entered.
      if (at < 0) return
      this.#waiting.splice(at, 1)
      reject(abortedError(signal))
    }
    this.#waiting.push(resolve)
    signal?.addEventListener('abort', onAbort)
    await promise.finally(() => signal?.removeEventListener('abort', onAbort))
  }

  #full(): FacetError {
    const { running, waiting } = this.#most
    return new FacetError(
      'queue_full',
      `${running} answers are running and ${waiting} requests are waiting; try again later.`,
      { retryAfterMs: this.#wait.after(this.#waiting.length, running) },
    )
  }
}

export function queued(queue: Queue): Layer {
  const inTurn: Ask = async (options, ask) => {
    const leave = await queue.enter(options?.signal)
    try {
      return await ask(options)
    } finally {
      leave()
    }
  }
  return (next) =>
    override(asking(next, inTurn), {
      async *chat(request, options) {
        const leave = await queue.enter(options?.signal)
        try {
          for await (const event of next.chat(request, options)) yield event
        } finally {
          leave()
        }
      },
    })
}
