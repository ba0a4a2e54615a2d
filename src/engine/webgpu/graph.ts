/** Gemma on our own WGSL kernels: the GPU path. */
import { FacetError } from '../../errors.ts'
import type { GemmaConfig } from '../../gemma/config.ts'
import { checkedBatch, misuse } from '../batch.ts'
import type { Graph, KvCache, Outcome, SampledSlice, Slice } from '../graph.ts'
import type { OpenedModel } from '../model-file.ts'
import { PAGE, PagePool } from '../page-pool.ts'
import { PagedKvCache } from '../paged-cache.ts'
import type { CacheBits } from './cached.ts'
import type { ChainParts, Subgroups } from './chain.ts'
import { allocating, type Gpu, type GpuOptions, openGpu } from './device.ts'
import { LOGIT_ROWS } from './job.ts'
import { allocate, free, type GpuMemory, loadWeights, writeAngles } from './memory.ts'
import { planGpu } from './plan.ts'
import { type KernelTimes, profile } from './profile.ts'
import type { OnCompiled } from './program.ts'
import { compilePrograms, type RunnerParts, widthsFor } from './runner.ts'
import { Stepper } from './stepper.ts'
import type { Arithmetic } from './tile.ts'
import { TUNING, type Tuning, type TuningStore, tuned } from './tuning.ts'
import { measuringOn, tuningKey } from './warm-up.ts'

export interface WebGpuOptions extends GpuOptions {
  readonly model: Pick<OpenedModel, 'files' | 'manifest' | 'config' | 'graph' | 'reading'>
  /** Sequences that may be open at the same time. */
  readonly sequences: number
  /** Positions of each. */
  readonly contextTokens: number
  /** Bits of a cached key or value. Default 16: float16. */
  readonly cacheBits?: CacheBits | undefined
  /** Most bytes a kernel sees in one buffer; weights are split below it. Default: the device's limit. */
  readonly bindingBytes?: number
  /** What products are cut into. Default: what `tunings` remembers or finds, or what is good elsewhere. */
  readonly tuning?: Partial<Tuning>
  /**
   * What products of many tokens may multiply: the fastest on this adapter, as `tunings` remembers or finds it,
   * and the first where nothing is measured. Default: all that the device has, float32 first.
   */
  readonly arithmetics?: readonly Arithmetic[]
  /** Where tunings are remembered; adapters made of software are not tuned. */
  readonly tunings?: TuningStore
  /** Milliseconds, for tuning. */
  readonly now?: () => number
  /** Told of every kernel that is compiled. */
  readonly onCompiled?: OnCompiled
}

/**
 * Finds the GPU, plans its memory, allocates it once, compiles the kernels and streams the weights into it.
 *
 * @throws FacetError unsupported (no WebGPU, no adapter, a kernel does not compile, weights that are not
 * quantized), out_of_memory (with the plan's figures), unavailable (the device was lost), invalid_model,
 * checksum_mismatch
 */
export async function createWebGpuGraph(options: WebGpuOptions): Promise<WebGpuGraph> {
  const { model, sequences, contextTokens, cacheBits } = options
  const { config } = model
  const gpu = await openGpu(options)
  let memory: GpuMemory | undefined
  try {
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits
    const allowed = Math.min(maxStorageBufferBindingSize, maxBufferSize)
    const bindingBytes = Math.min(allowed, options.bindingBytes ?? allowed)
    const arithmetics = arithmeticsOf(gpu, options)
    const integers = arithmetics.includes('int8')
    const sizes = { sequences, contextTokens, bindingBytes, cacheBits, integers }
    const plan = planGpu(config, model.manifest, sizes)
    memory = await allocating(gpu, plan.figures, () => allocate(gpu, config, plan))
    const untuned = { config, plan, memory, subgroups: subgroupsOf(gpu) }
    const parts = { ...untuned, tuning: await tuningFor(gpu, untuned, arithmetics, options) }
    const { onCompiled = model.reading.onCompiled } = options
    const compiling = compilePrograms(gpu, parts, sequences, onCompiled)
    let failure: unknown
    compiling.catch((error: unknown) => {
      failure = error
    })
    writeAngles(gpu, config, plan, memory)
    await loadWeights(gpu, model, plan, memory, () => {
      if (failure) throw failure
      gpu.check()
    })
    const programs = await compiling
    gpu.check()
    return new WebGpuGraph({ gpu, config, plan, memory, programs })
  } catch (error) {
    if (memory) free(memory)
    gpu.release()
    throw error
  }
}

async function tuningFor(
  gpu: Gpu,
  parts: Omit<ChainParts, 'tuning'>,
  arithmetics: readonly [Arithmetic, ...Arithmetic[]],
  { tuning, tunings, sequences, now = () => performance.now() }: WebGpuOptions,
): Promise<Tuning> {
  if (tuning || !tunings || gpu.device.adapterInfo.isFallbackAdapter) {
    return { ...TUNING, arithmetic: arithmetics[0], ...tuning }
  }
  const choices = { widths: widthsFor(TUNING, sequences), arithmetics }
  return tuned(tunings, tuningKey(gpu, parts, arithmetics), choices, measuringOn(gpu, parts, now))
}

/** @throws FacetError unsupported when the device has none of those that may be used */
function arithmeticsOf(
  gpu: Gpu,
  { arithmetics = ['f32', 'f16', 'int8'] }: WebGpuOptions,
): [Arithmetic, ...Arithmetic[]] {
  const has: Readonly<Record<Arithmetic, boolean>> = { f32: true, f16: gpu.f16, int8: gpu.integers }
  const [first, ...rest] = arithmetics.filter((each) => has[each])
  if (first !== undefined) return [first, ...rest]
  throw new FacetError(
    'unsupported',
    `${gpu.adapterName} does not multiply in ${arithmetics.join(' or ')}; add f32 to arithmetics.`,
    { field: 'arithmetics' },
  )
}

function subgroupsOf({ device, subgroups }: Gpu): Subgroups | undefined {
  const { subgroupMinSize, subgroupMaxSize } = device.adapterInfo
  return subgroups ? { smallest: subgroupMinSize, largest: subgroupMaxSize } : undefined
}

/** Made by createWebGpuGraph. */
export class WebGpuGraph implements Graph {
  readonly config: GemmaConfig
  readonly name: string
  readonly #parts: RunnerParts
  readonly #stepper: Stepper
  readonly #pool: PagePool
  /** Steps that are asked for at the same time run one after another: they share the working buffers. */
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(parts: RunnerParts) {
    this.config = parts.config
    this.name = `webgpu (${parts.gpu.adapterName})`
    this.#parts = parts
    this.#stepper = new Stepper(parts)
    this.#pool = new PagePool(parts.plan.pageCount)
  }

  get memoryBytes(): number {
    return this.#parts.memory.sizeBytes
  }

  get failure(): FacetError | undefined {
    return this.#parts.gpu.failure
  }

  open(capacity: number): KvCache {
    this.#check()
    const { plan } = this.#parts
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > plan.contextTokens) {
      throw misuse(`a cache of ${capacity} tokens was asked for`)
    }
    this.#pool.reserve(Math.ceil(capacity / PAGE))
    return new PagedKvCache(
      this.#pool,
      {
        table: new Uint32Array(Math.ceil(capacity / PAGE)),
        copyPage: (from, to) => this.#stepper.runner.copyPage(from, to),
        release: () => {},
      },
      capacity,
    )
  }

  step(batch: readonly Slice[]): Promise<Float32Array[]> {
    const slices = batch.map(({ cache, tokens, logits = 1 }) => ({ cache, tokens, logits }))
    return this.sample(slices) as Promise<Float32Array[]> // without choices there are only logits
  }

  sample(batch: readonly SampledSlice[]): Promise<Outcome[]> {
    const result = this.#last.then(() => {
      this.#check()
      return this.#stepper.step(batch)
    })
    this.#last = result.catch(() => {}) // told to the caller of that step
    return result
  }

  /**
   * How long each kernel takes in a step of one token of each cache; the caches stay as they are. The graph
   * must have been made with `timestamps`.
   *
   * @throws FacetError unsupported
   */
  async profile(caches: readonly KvCache[]): Promise<KernelTimes> {
    this.#check()
    const single = caches.map((cache) => ({ cache, tokens: [this.config.bosId] }))
    const slices = checkedBatch(single, this.config, PagedKvCache)
    for (const { cache } of slices) cache.extend(1)
    const splits = this.#stepper.splitsOf(slices)
    this.#stepper.writeJob(
      slices.map((slice) => ({ ...slice, logits: 1, position: slice.cache.length })),
      splits,
    )
    const count = slices.length
    return profile(this.#parts.gpu.device, this.#stepper.runner, {
      layers: 'few',
      tokens: count,
      rows: Math.min(count, LOGIT_ROWS),
      splits,
      choices: 0,
      fetched: [],
    })
  }

  async dispose(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#last
    free(this.#parts.memory)
    this.#parts.gpu.release()
  }

  #check(): void {
    if (this.#closed) throw new FacetError('unavailable', 'The model has been closed; load it again.')
    this.#parts.gpu.check()
  }
}
