/** `gemfacet/engine`: loads a model directory and answers chats with it, on any JavaScript runtime. */
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'

/** A Backend that computes here. */
export interface Engine extends Backend {
  /** Ends what is running with `unavailable` and frees the model. */
  close(): Promise<void>
}

export interface LoadProgress {
  readonly loadedBytes: number
  readonly totalBytes: number
}

export interface LoadOptions {
  /** What computes: onnxruntime-web (default), or the slow, readable reference. */
  readonly graph?: 'ort' | 'reference'
  /** Most tokens of prompt and answer together. Default and most: what the model was made for. */
  readonly contextTokens?: number
  /** Answers that run at the same time, each with its own KV cache. Default 4. */
  readonly slots?: number
  /** Requests that may wait for a slot before `queue_full`. Default 32. */
  readonly queue?: number
  /** Check every file against the manifest's sha256. Default true. */
  readonly verify?: boolean
  /** The id clients ask for, instead of the manifest's. */
  readonly id?: string
  readonly onProgress?: (progress: LoadProgress) => void
}

export async function loadEngine(_options: LoadOptions): Promise<Engine> {
  throw new FacetError('unsupported', 'The engine is not built yet.')
}
