/** Gemma on our own WGSL kernels: the GPU path. */
import { FacetError } from '../../errors.ts'
import type { GemmaConfig } from '../../gemma/config.ts'
import type { Graph, KvCache, Slice } from '../graph.ts'
import type { OpenedModel } from '../model-file.ts'
import { PAGE, PagePool } from '../page-pool.ts'
import { PagedKvCache } from '../paged-cache.ts'
import { turn } from '../turn.ts'
import type { Tuning } from './chain.ts'
import { allocating, type GpuOptions, openGpu } from './device.ts'
import { LOGIT_ROWS, writeJob } from './job.ts'
import { allocate, free, type GpuMemory, loadWeights, writeAngles } from './memory.ts'
import { checked, misuse, type Part, type Pass, passesOf } from './passes.ts'
import { planGpu } from './plan.ts'
import { type KernelTimes, profile } from './profile.ts'
import { compilePrograms, Runner, type RunnerParts, type Work } from './runner.ts'

export interface WebGpuOptions extends GpuOptions {
  readonly model: Pick<OpenedModel, 'files' | 'manifest' | 'config' | 'graph' | 'reading'>
  /** Sequences that may be open at the same time. */
  readonly sequences: number
  /** Positions of each. */
  readonly contextTokens: number
  /** Most bytes a kernel sees in one buffer; weights are split below it. Default: the device's limit. */
  readonly bindingBytes?: number
  readonly tuning?: Partial<Tuning>
}

const TUNING: Tuning = { lanes: 128, rows: { 1: 4, 2: 4, 4: 4, 8: 4 }, ahead: true }

/**
 * Finds the GPU, plans its memory, allocates it once, compiles the kernels and streams the weights into it.
 *
 * @throws FacetError unsupported (no WebGPU, no adapter, a kernel does not compile, weights that are not
 * quantized), out_of_memory (with the plan's figures), unavailable (the device was lost), invalid_model,
 * checksum_mismatch
 */
export async function createWebGpuGraph(options: WebGpuOptions): Promise<WebGpuGraph> {
  const { model, sequences, contextTokens } = options
  const { config } = model
  const gpu = await openGpu(options)
  let memory: GpuMemory | undefined
  try {
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits
    const allowed = Math.min(maxStorageBufferBindingSize, maxBufferSize)
    const bindingBytes = Math.min(allowed, options.bindingBytes ?? allowed)
    const plan = planGpu(config, model.manifest, { sequences, contextTokens, bindingBytes })
    memory = await allocating(gpu, plan.figures, () => allocate(gpu, config, plan))
    const tuning = { ...TUNING, ...options.tuning }
    const programs = await compilePrograms(
      gpu,
      { config, plan, memory, subgroups: gpu.subgroups, tuning },
      sequences,
    )
    writeAngles(gpu, config, plan, memory)
    await loadWeights(gpu, model, plan, memory)
    gpu.check()
    return new WebGpuGraph({ gpu, config, plan, memory, programs })
  } catch (error) {
    if (memory) free(memory)
    gpu.release()
    throw error
  }
}

/** Made by createWebGpuGraph. */
export class WebGpuGraph implements Graph {
  readonly config: GemmaConfig
  readonly name: string
  readonly #parts: RunnerParts
  readonly #runner: Runner
  readonly #pool: PagePool
  readonly #job: Uint32Array<ArrayBuffer>
  /** Steps that are asked for at the same time run one after another: they share the working buffers. */
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(parts: RunnerParts) {
    this.config = parts.config
    this.name = `webgpu (${parts.gpu.adapterName})`
    this.#parts = parts
    this.#runner = new Runner(parts)
    this.#pool = new PagePool(parts.plan.pageCount)
    this.#job = new Uint32Array(parts.plan.working.job / 4)
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
        copyPage: (from, to) => this.#runner.copyPage(from, to),
        release: () => {},
      },
      capacity,
    )
  }

  step(batch: readonly Slice[]): Promise<Float32Array[]> {
    const result = this.#last.then(() => this.#step(batch))
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
    const slices = checked(single, this.config)
    for (const { cache } of slices) cache.extend(1)
    const splits = this.#splits(slices)
    this.#writeJob(
      slices.map((slice) => ({ ...slice, logits: 1 })),
      splits,
    )
    const count = slices.length
    return profile(this.#parts.gpu.device, this.#runner, {
      layers: 'few',
      tokens: count,
      rows: Math.min(count, LOGIT_ROWS),
      splits,
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

  async #step(batch: readonly Slice[]): Promise<Float32Array[]> {
    this.#check()
    const slices = checked(batch, this.config)
    const outputs = slices.map(({ logits = 1 }) => new Float32Array(logits * this.config.vocabSize))
    for (const pass of passesOf(slices, outputs)) await this.#pass(pass)
    return outputs
  }

  async #pass({ few, parts }: Pass): Promise<void> {
    const { gpu } = this.#parts
    for (const { cache, tokens } of parts) cache.extend(tokens.length)
    const tokens = parts.reduce((sum, part) => sum + part.tokens.length, 0)
    const rows = parts.reduce((sum, part) => sum + part.logits, 0)
    const splits = few ? this.#splits(parts) : 1
    const first: Work = { layers: few ? 'few' : 'many', tokens, rows: Math.min(rows, LOGIT_ROWS), splits }
    const targets = parts.flatMap(({ logits, out, row }) =>
      Array.from({ length: logits }, (_, i) => ({ out, row: row + i })),
    )
    try {
      this.#writeJob(parts, splits)
      this.#runner.submit(first)
      for (const { cache, tokens } of parts) cache.advance(tokens)
      if (rows === 0) return
      await this.#runner.logits(targets.slice(0, first.rows), few ? first : undefined)
      for (let done = first.rows; done < rows; done += LOGIT_ROWS) {
        const some = targets.slice(done, done + LOGIT_ROWS)
        this.#writeJob(parts, splits, done)
        this.#runner.submit({ layers: 'none', tokens, rows: some.length, splits })
        await this.#runner.logits(some)
      }
    } catch (cause) {
      // A lost device refuses everything, and says why a moment later.
      await Promise.race([gpu.device.lost, turn()])
      throw gpu.toError(cause)
    }
  }

  #splits(parts: readonly Pick<Part, 'cache' | 'tokens'>[]): number {
    const longest = Math.max(...parts.map(({ cache, tokens }) => cache.length + tokens.length))
    return Math.ceil(longest / this.#parts.plan.split)
  }

  /** @param done rows of logits that have been computed */
  #writeJob(parts: readonly Pick<Part, 'cache' | 'tokens' | 'logits'>[], splits: number, done = 0): void {
    const slices = parts.map(({ cache, tokens, logits }) => ({
      tokens,
      position: cache.length - (done > 0 ? tokens.length : 0),
      table: cache.table.subarray(0, Math.ceil((cache.length + (done > 0 ? 0 : tokens.length)) / PAGE)),
      logits,
    }))
    const words = writeJob(this.#job, slices, { splits, done })
    this.#parts.gpu.device.queue.writeBuffer(this.#parts.memory.working.job, 0, this.#job, 0, words)
  }
}
