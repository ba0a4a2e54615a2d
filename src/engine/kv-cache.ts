/** KV caches of one sequence each, allocated once, and the checks every step makes. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import type { KvCache, Slice } from './graph.ts'

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

/** A slice whose cache is known to be ours and to have room. */
export interface CheckedSlice<Cache extends FixedKvCache> extends Slice {
  readonly cache: Cache
  /** How many of the last positions' logits are wanted. */
  readonly logits: number
}

/**
 * Checks a whole batch before anything is computed, so that a refused step leaves no cache half advanced.
 *
 * @param ours the class of this graph's caches
 * @throws FacetError internal: these are mistakes of the caller's code, not of a request
 */
export function checkedBatch<Cache extends FixedKvCache>(
  batch: readonly Slice[],
  config: GemmaConfig,
  ours: new (...args: never[]) => Cache,
): CheckedSlice<Cache>[] {
  const seen = new Set<KvCache>()
  return batch.map(({ cache, tokens, logits = 1 }) => {
    if (!(cache instanceof ours)) throw misuse('a cache belongs to another graph')
    if (cache.disposed) throw misuse('a cache is used after dispose()')
    if (seen.has(cache)) throw misuse('a cache stands twice in one batch')
    seen.add(cache)
    if (tokens.length === 0) throw misuse('a slice has no tokens')
    if (cache.length + tokens.length > cache.capacity) {
      throw misuse(
        `${tokens.length} tokens do not fit a cache that holds ${cache.length} of ${cache.capacity}`,
      )
    }
    const stranger = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize)
    if (stranger !== undefined) throw misuse(`token id ${stranger} is not in the vocabulary`)
    if (!Number.isInteger(logits) || logits < 1 || logits > tokens.length) {
      throw misuse(`logits of ${logits} positions are wanted of ${tokens.length} tokens`)
    }
    return { cache, tokens, logits }
  })
}

function misuse(problem: string): FacetError {
  return new FacetError('internal', `The model was called wrongly: ${problem}; please report this.`)
}
