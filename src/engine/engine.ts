/** `gemfacet/engine`: loads a model directory and answers chats with it, on any JavaScript runtime. */
import type { ModelSpec } from '../types.ts'
import { createEngine, type Engine } from './backend.ts'
import type { Graph } from './graph.ts'
import { type LoadProgress, openModel, type ServableModel } from './model-file.ts'
import type { ModelFiles } from './model-files.ts'

export { createEngine, type Engine, type EngineOptions } from './backend.ts'
export { connectBackend, serveBackend } from './bridge.ts'
export type { LoadProgress } from './model-file.ts'
export { filesFromUrl, type ModelFiles } from './model-files.ts'

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

/**
 * Loads a model and computes on this thread; where there are threads, prefer `gemfacet/engine/node`.
 *
 * @throws FacetError invalid_model, checksum_mismatch, tokenizer_missing, unsupported (a peer is missing),
 * invalid_request (an option is out of range)
 */
export async function loadEngine(options: LoadOptions & { readonly files: ModelFiles }): Promise<Engine> {
  const { files, verify, onProgress, contextTokens, slots, queue } = options
  const model = await openModel(files, {
    ...(verify !== undefined && { verify }),
    ...(onProgress && { onProgress }),
  })
  const graph = await createGraph(model, options.graph ?? 'ort')
  try {
    return createEngine({
      graph,
      tokenizer: model.tokenizer,
      model: specOf(model, options.id, contextTokens),
      ...(slots !== undefined && { slots }),
      ...(queue !== undefined && { queue }),
    })
  } catch (error) {
    await graph.dispose()
    throw error
  }
}

/** Each graph is loaded only when it is asked for. */
async function createGraph(model: ServableModel, kind: 'ort' | 'reference'): Promise<Graph> {
  if (kind === 'reference') {
    const { createReference } = await import('./reference.ts')
    const { dequantizedWeights } = await import('./tensors.ts')
    return createReference(model.config, dequantizedWeights(model))
  }
  const { createOrtGraph } = await import('./ort.ts')
  return createOrtGraph(model)
}

function specOf({ manifest }: ServableModel, id?: string, contextTokens?: number): ModelSpec {
  const { quantization, dtype, description, license, parameters } = manifest
  return {
    id: id ?? manifest.id,
    parameters,
    quantization: quantization ? `int${quantization.bits}` : dtype,
    ...(description !== undefined && { description }),
    ...(license !== undefined && { license }),
    ...(contextTokens !== undefined && { contextTokens }),
  }
}
