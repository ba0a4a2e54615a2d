/** A graph that outlives what it computes with: when its device fails, another graph goes on with the same tokens. */
import { FacetError, toFacetError } from '../errors.ts'
import { type Graph, type KvCache, type Outcome, type SampledSlice, type Slice, sampleOn } from './graph.ts'

/** A graph has taken the place of one that failed. */
export interface Replacement {
  /** Why the old one is of no use any more. */
  readonly failure: FacetError
  /** Name of the new one. */
  readonly graph: string
}

export interface RecoveryOptions {
  /** Opens a graph of the same kind again, with the same room for caches. */
  readonly again: () => Promise<Graph>
  /** Opens one of another kind, for when that does not help. */
  readonly fallback: () => Promise<Graph>
  readonly onReplaced?: (replacement: Replacement) => void
}

type Compute<S extends Slice, Result> = (graph: Graph, slices: readonly S[]) => Promise<Result>

/** A device that fails again within so many steps is not tried another time. */
const TRUSTED_STEPS = 64
/** Tokens of one sequence that are computed again at once. */
const REPLAY_CHUNK = 512

/**
 * Wraps a graph whose device can be lost. Caches remember their tokens, so that a step that fails with the
 * device is done again on another graph: first the tokens so far, as a prompt, then the step. Nobody who runs a
 * sequence notices more than the wait. Computed as a prompt, keys and values may differ from those of single
 * tokens in their last bits.
 *
 * A lost device is replaced by a new one; one that ran out of memory, refused a command, or was lost again
 * soon after, by the fallback. When neither opens, the step fails with the reason, and the next one tries again.
 */
export function recovering(first: Graph, options: RecoveryOptions): Graph {
  return new RecoveringGraph(first, options)
}

class RecoveringGraph implements Graph {
  readonly config: Graph['config']
  readonly #options: RecoveryOptions
  #graph: Graph
  /** Since the graph was replaced. */
  #steps = TRUSTED_STEPS
  /** One after another: a replacement must not meet a second step. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(first: Graph, options: RecoveryOptions) {
    this.config = first.config
    this.#graph = first
    this.#options = options
  }

  get name(): string {
    return this.#graph.name
  }

  get memoryBytes(): number | undefined {
    return this.#graph.memoryBytes
  }

  open(capacity: number): KvCache {
    const cache = new RecoverableCache(capacity, () => this.#graph)
    if (!this.#graph.failure) cache.attach()
    return cache
  }

  step(batch: readonly Slice[]): Promise<Float32Array[]> {
    return this.#inTurn(batch, (graph, slices) => graph.step(slices))
  }

  async dispose(): Promise<void> {
    await this.#last
    await this.#graph.dispose()
  }

  /** As the graph that computes now does it; where that does not choose, its logits are what comes. */
  sample(batch: readonly SampledSlice[]): Promise<Outcome[]> {
    return this.#inTurn(batch, sampleOn)
  }

  #inTurn<S extends Slice, Result>(batch: readonly S[], compute: Compute<S, Result>): Promise<Result> {
    const result = this.#last.then(() => this.#step(batch, compute))
    this.#last = result.catch(() => {}) // told to the caller of that step
    return result
  }

  async #step<S extends Slice, Result>(batch: readonly S[], compute: Compute<S, Result>): Promise<Result> {
    for (;;) {
      if (this.#graph.failure) await this.#replace(this.#graph.failure)
      try {
        const result = await compute(this.#graph, await this.#current(batch))
        for (const { cache, tokens } of batch) (cache as RecoverableCache).advance(tokens)
        this.#steps++
        return result
      } catch (error) {
        // The fallback has no device to lose, so that this comes to an end.
        if (!this.#graph.failure) throw error
      }
    }
  }

  /** The same slices, with the caches of the graph that computes now, filled. */
  async #current<S extends Slice>(batch: readonly S[]): Promise<S[]> {
    const slices: S[] = []
    for (const slice of batch) {
      if (!(slice.cache instanceof RecoverableCache)) throw misuse('a cache belongs to another graph')
      slices.push({ ...slice, cache: await slice.cache.current() })
    }
    return slices
  }

  async #replace(failure: FacetError): Promise<void> {
    const { again, fallback, onReplaced } = this.#options
    const ways =
      failure.code === 'unavailable' && this.#steps >= TRUSTED_STEPS ? [again, fallback] : [fallback]
    await this.#graph.dispose()
    const refusals: FacetError[] = []
    for (const open of ways) {
      try {
        this.#graph = await open()
        this.#steps = 0
        onReplaced?.({ failure, graph: this.#graph.name })
        return
      } catch (error) {
        refusals.push(toFacetError(error))
      }
    }
    const why = refusals.map(({ message }) => message).join(' ')
    throw new FacetError(failure.code, `${failure.message} It could not be replaced: ${why}`, {
      cause: failure,
    })
  }
}

/** A cache that can be filled again on another graph. */
class RecoverableCache implements KvCache {
  readonly capacity: number
  readonly #graphNow: () => Graph
  readonly #tokens: number[] = []
  #attached: { readonly graph: Graph; readonly cache: KvCache } | undefined
  #disposed = false

  constructor(capacity: number, graphNow: () => Graph) {
    this.capacity = capacity
    this.#graphNow = graphNow
  }

  get length(): number {
    return this.#tokens.length
  }

  /** The cache of the graph that computes now; empty when that has just changed. */
  attach(): KvCache {
    const graph = this.#graphNow()
    if (this.#attached?.graph !== graph) this.#attached = { graph, cache: graph.open(this.capacity) }
    return this.#attached.cache
  }

  /** The same, holding all tokens. */
  async current(): Promise<KvCache> {
    if (this.#disposed) throw misuse('a cache is used after dispose()')
    const cache = this.attach()
    if (cache.length < this.length) cache.reuse?.(this.#tokens)
    while (cache.length < this.length) {
      const tokens = this.#tokens.slice(cache.length, cache.length + REPLAY_CHUNK)
      await this.#graphNow().step([{ cache, tokens }])
    }
    return cache
  }

  advance(tokens: readonly number[]): void {
    for (const token of tokens) this.#tokens.push(token)
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.length) {
      throw misuse(`a cache of ${this.length} tokens cannot be cut to ${length}`)
    }
    const cache = this.#valid
    // Shorter than ours while it is being filled again.
    if (cache && cache.length > length) cache.truncate(length)
    this.#tokens.length = length
  }

  reuse(tokens: readonly number[]): number {
    if (this.length > 0 || this.#graphNow().failure) return 0
    const count = this.attach().reuse?.(tokens) ?? 0
    this.advance(tokens.slice(0, count))
    return count
  }

  dispose(): void {
    this.#valid?.dispose()
    this.#disposed = true
    this.#tokens.length = 0
  }

  /** Of the graph that computes now, if there is one already. */
  get #valid(): KvCache | undefined {
    return this.#attached?.graph === this.#graphNow() ? this.#attached.cache : undefined
  }
}

function misuse(problem: string): FacetError {
  return new FacetError('internal', `The model was called wrongly: ${problem}; please report this.`)
}
