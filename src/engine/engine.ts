/** `gemfacet/engine`: loads a model directory and answers chats with it, on any JavaScript runtime. */
import { FacetError } from '../errors.ts'
import type { ModelSpec } from '../types.ts'
import { checkContext, createEngine, type Engine, option, QUEUE, SLOTS } from './backend.ts'
import type { Graph } from './graph.ts'
import { type LoadProgress, type OpenedModel, openWithoutData, withData } from './model-file.ts'
import type { ModelFiles } from './model-files.ts'
import type { Replacement } from './recovery.ts'
import type { ThreadSpawner } from './wasm/threads.ts'
import { probeGpu } from './webgpu/probe.ts'

export { createEngine, type Engine, type EngineOptions } from './backend.ts'
export { connectBackend, serveBackend } from './bridge.ts'
export type { LoadProgress } from './model-file.ts'
export { filesFromUrl, type ModelFiles } from './model-files.ts'
export type { Replacement } from './recovery.ts'
export { type GpuProbe, type ProbeOptions, probeGpu } from './webgpu/probe.ts'

export type GraphKind = 'wasm' | 'webgpu' | 'ort' | 'ort-webgpu' | 'reference'

export interface LoadOptions {
  /**
   * What computes: our own WebAssembly kernels (default for quantized models), our own WebGPU kernels,
   * onnxruntime-web (default for the others, and the second opinion) in WebAssembly or, in browsers, on
   * WebGPU, or the slow, readable reference.
   */
  readonly graph?: GraphKind
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
  /** Threads that compute, for `wasm`. Default: the machine's cores, at most 8. */
  readonly threads?: number
  /**
   * Bits of a cached key or value, for `wasm`: 32, or 8 for a quarter of the memory. Default 32. What 8 bits
   * cost on the shipped model, by scripts/fidelity.ts: less than 0.01% of perplexity on held-out and on
   * training documents; held-out exact match 0.390 instead of 0.400. Over 512 positions the logits' cosine
   * with those of 32 bits is 0.9998 on average and 0.9989 at worst.
   */
  readonly cacheBits?: 8 | 32
  readonly onProgress?: (progress: LoadProgress) => void
  /** The graphics device failed, and answers go on with another graph; for `webgpu`. */
  readonly onReplaced?: (replacement: Replacement) => void
}

/**
 * Loads a model and computes on this thread; where there are threads, prefer `gemfacet/engine/node`.
 *
 * @throws FacetError invalid_model, checksum_mismatch, tokenizer_missing, unsupported (a peer is missing),
 * invalid_request (an option is out of range)
 */
export async function loadEngine(options: LoadOptions & LoadPlace): Promise<Engine> {
  const { files, verify, onProgress, contextTokens } = options
  const slots = option('slots', options.slots ?? SLOTS, 1)
  const queue = option('queue', options.queue ?? QUEUE, 0)
  if (options.graph === 'webgpu')
    await probeGpu(files, { slots, ...(contextTokens !== undefined && { contextTokens }) })
  const model = await openWithoutData(files, {
    ...(verify !== undefined && { verify }),
    ...(onProgress && { onProgress }),
  })
  const spec = specOf(model, options.id, contextTokens)
  checkContext(spec, model.config)
  const graph = await createGraph(model, { ...options, slots })
  try {
    return createEngine({
      graph,
      tokenizer: model.tokenizer,
      model: spec,
      slots,
      queue,
      ...(options.graph === 'webgpu' && { prefillChunk: GPU_PREFILL_CHUNK }),
    })
  } catch (error) {
    await graph.dispose()
    throw error
  }
}

/** Where to load from and to. */
export interface LoadPlace {
  readonly files: ModelFiles
  /** Starts a thread beside this one, for `wasm`. Left out: everything is computed on this thread. */
  readonly spawn?: ThreadSpawner
}

/** A GPU takes so many tokens at once in little more time than a few. */
const GPU_PREFILL_CHUNK = 512

type GraphOptions = LoadOptions & LoadPlace & { readonly slots: number }

/** Each graph is loaded only when it is asked for. */
async function createGraph(model: OpenedModel, options: GraphOptions): Promise<Graph> {
  const kind = options.graph ?? (model.manifest.quantization ? 'wasm' : 'ort')
  if (kind === 'wasm') return openWasm(model, options)
  for (const field of ['threads', 'cacheBits'] as const) {
    if (options[field] === undefined) continue
    throw new FacetError(
      'invalid_request',
      `${field} is an option of the graph wasm; leave it out with ${kind}.`,
      {
        field,
      },
    )
  }
  if (kind === 'webgpu') {
    const { openGpuGraph } = await import('./webgpu/lasting.ts')
    return openGpuGraph(model, options, (again) => openWasm(again, options))
  }
  const whole = await withData(model)
  if (kind === 'reference') {
    const { createReference } = await import('./reference.ts')
    const { dequantizedWeights } = await import('./tensors.ts')
    return createReference(model.config, dequantizedWeights(whole))
  }
  if (kind === 'ort-webgpu') {
    const { createOrtWebGpuGraph } = await import('./ort-webgpu.ts')
    return createOrtWebGpuGraph(whole)
  }
  const { createOrtGraph } = await import('./ort.ts')
  return createOrtGraph(whole)
}

async function openWasm(model: OpenedModel, options: GraphOptions): Promise<Graph> {
  const { createWasmGraph } = await import('./wasm/graph.ts')
  const { slots, contextTokens, spawn, threads, cacheBits } = options
  return createWasmGraph({
    model,
    sequences: slots,
    contextTokens: contextTokens ?? model.config.contextTokens,
    ...(spawn && { spawn }),
    ...(threads !== undefined && { threads }),
    ...(cacheBits !== undefined && { cacheBits }),
  })
}

function specOf({ manifest }: OpenedModel, id?: string, contextTokens?: number): ModelSpec {
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
