/** The interface between the engine and the arithmetic: same model file in, same logits out. */
import type { GemmaConfig } from '../gemma/config.ts'

/**
 * Keys and values of one sequence, of fixed capacity. Belongs to the Graph that opened it; whoever
 * opened it disposes of it.
 */
export interface KvCache {
  /** Positions it can hold. */
  readonly capacity: number
  /** Positions filled so far; the next token gets this position. */
  readonly length: number
  /** Forgets everything from `length` on, so that a prefix can be continued another way. */
  truncate(length: number): void
  /**
   * Fills this empty cache with as many of these first tokens as the graph still remembers from other
   * sequences; returns how many. Graphs that remember nothing leave it out.
   */
  reuse?(tokens: readonly number[]): number
  dispose(): void
}

/** Tokens to append to one sequence in a step. */
export interface Slice {
  readonly cache: KvCache
  /** Token ids (n,), n >= 1, at positions cache.length .. cache.length + n - 1. */
  readonly tokens: readonly number[]
  /** Logits wanted: of the last position (default), or of the last this many positions. */
  readonly logits?: number
}

/** One loaded model. */
export interface Graph {
  readonly config: GemmaConfig
  /** For people and metrics, for example `onnxruntime-web wasm`. */
  readonly name: string
  /** Of the weights, caches and activations, where it is known. */
  readonly memoryBytes?: number
  open(capacity: number): KvCache
  /** Runs every slice and advances its cache. Returns for each the logits (slice.logits, vocabSize). */
  step(batch: readonly Slice[]): Promise<Float32Array[]>
  dispose(): Promise<void>
}
