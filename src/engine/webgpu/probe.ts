/** Whether a model runs on this machine's GPU, found out before anything but its two smallest files is read. */
import { option, SLOTS } from '../backend.ts'
import { readConfig, readManifest } from '../model-file.ts'
import type { ModelFiles } from '../model-files.ts'
import type { CacheBits } from './cached.ts'
import { type AdapterOptions, findAdapter } from './device.ts'
import { planGpu } from './plan.ts'

export interface ProbeOptions extends AdapterOptions {
  /** As for loadEngine. */
  readonly slots?: number
  readonly contextTokens?: number
  readonly cacheBits?: CacheBits | undefined
}

/** The adapter, and what the model takes of it. Sizes in bytes. */
export interface GpuProbe {
  readonly adapterName: string
  readonly subgroups: boolean
  /** shader-f16. */
  readonly f16: boolean
  readonly maxBufferSize: number
  readonly maxStorageBufferBindingSize: number
  readonly weightBytes: number
  readonly cacheBytes: number
  readonly workingBytes: number
  readonly totalBytes: number
  /** Buffers the weights lie in: more than two a weight where one buffer would be larger than is allowed. */
  readonly weightBuffers: number
  /** The same as a sentence without its end. */
  readonly figures: string
}

/**
 * Finds the adapter, then reads a model's manifest and configuration, and plans its memory. How much of the
 * GPU's memory is free WebGPU does not tell: that is found out when it is allocated, which is also before the
 * weights are read.
 *
 * @throws FacetError unsupported (no WebGPU, no adapter, weights or shapes that the kernels do not compute),
 * out_of_memory (with the figures, when a buffer would be larger than the adapter allows), invalid_model,
 * invalid_request
 */
export async function probeGpu(files: ModelFiles, options: ProbeOptions = {}): Promise<GpuProbe> {
  const { adapterName, features, integers, limits } = await findAdapter(options)
  const manifest = await readManifest(files)
  const config = await readConfig(files, manifest)
  const plan = planGpu(config, manifest, {
    sequences: option('slots', options.slots ?? SLOTS, 1),
    contextTokens: option('contextTokens', options.contextTokens ?? config.contextTokens, 1),
    bindingBytes: Math.min(...Object.values(limits)),
    cacheBits: options.cacheBits,
    integers,
  })
  const { weightBytes, cacheBytes, workingBytes, totalBytes, figures } = plan
  return {
    adapterName,
    subgroups: features.includes('subgroups'),
    f16: features.includes('shader-f16'),
    ...limits,
    weightBytes,
    cacheBytes,
    workingBytes,
    totalBytes,
    weightBuffers:
      plan.norms.size + [...plan.matrices.values()].reduce((sum, { spans }) => sum + 2 * spans.length, 0),
    figures,
  }
}
