/** A queue from one that pushes to one that iterates, with an end, an error, and a way to walk away. */

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T>) => void
  readonly reject: (error: unknown) => void
}

/**
 * Unlike an async generator, `return()` takes effect at once even while a `next()` is waiting, so that a
 * consumer who leaves stops the work behind the queue without waiting for its next value.
 */
export class EventQueue<T> implements AsyncIterableIterator<T> {
  readonly #onLeave: () => void
  readonly #values: T[] = []
  readonly #waiters: Waiter<T>[] = []
  #ended = false
  #error: { readonly error: unknown } | undefined

  /** @param onLeave called when the consumer leaves before the end */
  constructor(onLeave: () => void) {
    this.#onLeave = onLeave
  }

  push(value: T): void {
    if (this.#ended) return
    const waiter = this.#waiters.shift()
    if (waiter) waiter.resolve({ done: false, value })
    else this.#values.push(value)
  }

  /** No more values; those already pushed are still delivered. */
  end(): void {
    this.#ended = true
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined })
  }

  /** As `end`, and then the error is thrown, once. */
  fail(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    const [first, ...others] = this.#waiters.splice(0)
    if (first) first.reject(error)
    else this.#error = { error }
    for (const waiter of others) waiter.resolve({ done: true, value: undefined })
  }

  /** As `fail`, without delivering what is still queued. */
  abort(error: unknown): void {
    this.#values.length = 0
    this.fail(error)
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#values.length > 0) return Promise.resolve({ done: false, value: this.#values.shift()! })
    if (this.#error) {
      const { error } = this.#error
      this.#error = undefined
      return Promise.reject(error)
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
    })
  }

  return(): Promise<IteratorResult<T>> {
    const early = !this.#ended
    this.#values.length = 0
    this.#error = undefined
    this.end()
    if (early) this.#onLeave()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
