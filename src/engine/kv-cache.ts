/** KV caches of one sequence each, allocated once. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { misuse } from './batch.ts'
import type { KvCache } from './graph.ts'

/** Counts the positions of a cache whose keys and values lie somewhere at a fixed size. */
export class FixedKvCache implements KvCache {
  readonly capacity: number
  #length = 0
  #disposed = false

  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1) throw misuse(`cannot open a cache of ${capacity} tokens`)
    this.capacity = capacity
  }

  get length(): number {
    return this.#length
  }

  get disposed(): boolean {
    return this.#disposed
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw misuse(`cannot truncate a cache of ${this.#length} tokens to ${length}`)
    }
    this.#length = length
  }

  /** Counts rows that a graph has written. */
  advance(count: number): void {
    this.#length += count
  }

  dispose(): void {
    this.#disposed = true
    this.#length = 0
  }
}

/** Keys and values in JavaScript memory. Rows are never moved: position p of KV head h is row h * capacity + p. */
export class HostKvCache extends FixedKvCache {
  /** For each layer (kvHeads, capacity, headDim), already rotated. */
  readonly keys: readonly Float32Array[]
  /** For each layer (kvHeads, capacity, headDim). */
  readonly values: readonly Float32Array[]

  constructor(config: GemmaConfig, capacity: number) {
    super(capacity)
    const elements = config.kvHeads * capacity * config.headDim
    try {
      this.keys = config.layers.map(() => new Float32Array(elements))
      this.values = config.layers.map(() => new Float32Array(elements))
    } catch (cause) {
      const megabytes = Math.ceil((elements * config.layers.length * 8) / 1e6)
      throw new FacetError(
        'out_of_memory',
        `A KV cache of ${capacity} tokens needs ${megabytes} MB, which could not be allocated; lower contextTokens or slots.`,
        { cause },
      )
    }
  }

  override dispose(): void {
    super.dispose()
    ;(this.keys as Float32Array[]).length = 0
    ;(this.values as Float32Array[]).length = 0
  }
}
