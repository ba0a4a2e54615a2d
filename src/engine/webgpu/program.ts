/** Everything a pass dispatches, compiled and bound once: pipelines, bind groups and their sizes. */
import { FacetError } from '../../errors.ts'
import type { Gpu } from './device.ts'
import type { Access, Kernel } from './kernel.ts'

/** How large a pass is. */
export interface PassSize {
  readonly tokens: number
  /** Of logits. */
  readonly rows: number
  /** Splits of attention; 1: none. */
  readonly splits: number
  /** What the rows want chosen, as the flags of choices.ts; 0: nothing. */
  readonly choices: number
}

export type Groups = readonly [x: number, y: number, z: number]

/** One kernel bound to its buffers. */
export interface Dispatch {
  readonly kernel: Kernel
  readonly buffers: Readonly<Record<string, GPUBuffer>>
  /** Workgroups; none: left out of this pass. */
  readonly groups: (size: PassSize) => Groups | undefined
}

interface Prepared {
  readonly name: string
  readonly pipeline: GPUComputePipeline
  readonly bindGroup: GPUBindGroup
  readonly groups: (size: PassSize) => Groups | undefined
}

/** Dispatches in their order. */
export class Program {
  readonly #steps: readonly Prepared[]

  constructor(steps: readonly Prepared[]) {
    this.#steps = steps
  }

  encode(pass: GPUComputePassEncoder, size: PassSize): void {
    let current: GPUComputePipeline | undefined
    for (const { pipeline, bindGroup, groups } of this.#steps) {
      const count = groups(size)
      if (!count) continue
      if (pipeline !== current) pass.setPipeline(pipeline)
      current = pipeline
      pass.setBindGroup(0, bindGroup)
      pass.dispatchWorkgroups(...count)
    }
  }

  /** The same with a pass and two timestamps for each dispatch; returns the kernels' names. */
  encodeTimed(encoder: GPUCommandEncoder, size: PassSize, querySet: GPUQuerySet, first: number): string[] {
    const names: string[] = []
    for (const { name, pipeline, bindGroup, groups } of this.#steps) {
      const count = groups(size)
      if (!count) continue
      const at = (first + names.length) * 2
      const timestampWrites = { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 }
      const pass = encoder.beginComputePass({ timestampWrites })
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, bindGroup)
      pass.dispatchWorkgroups(...count)
      pass.end()
      names.push(name)
    }
    return names
  }
}

const BINDING_TYPES: Readonly<Record<Access, GPUBufferBindingType>> = {
  read: 'read-only-storage',
  read_write: 'storage',
  uniform: 'uniform',
}

/** How many kernels are compiled, of how many that are known so far. */
export type OnCompiled = (compiled: number, total: number) => void

/**
 * Compiles kernels, each only once, and binds them.
 *
 * @throws FacetError unsupported, with the kernel's and the adapter's name, when one does not compile
 */
export class Compiler {
  readonly #gpu: Gpu
  readonly #onCompiled: OnCompiled
  #compiled = 0
  /** By code: layers share what is the same. */
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>()

  constructor(gpu: Gpu, onCompiled: OnCompiled = () => {}) {
    this.#gpu = gpu
    this.#onCompiled = onCompiled
  }

  async program(dispatches: readonly Dispatch[]): Promise<Program> {
    const pipelines = await Promise.all(dispatches.map(({ kernel }) => this.#pipeline(kernel)))
    return new Program(
      dispatches.map(({ kernel, buffers, groups }, i) => {
        const pipeline = pipelines[i]!
        const entries = Object.keys(kernel.bindings).map((name, binding) => ({
          binding,
          resource: { buffer: buffers[name]! },
        }))
        const bindGroup = this.#gpu.device.createBindGroup({
          layout: pipeline.getBindGroupLayout(0),
          entries,
        })
        return { name: kernel.name, pipeline, bindGroup, groups }
      }),
    )
  }

  #pipeline(kernel: Kernel): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(kernel.code)
    if (known) return known
    const pipeline = this.#compile(kernel).then((made) => {
      this.#onCompiled(++this.#compiled, this.#pipelines.size)
      return made
    })
    this.#pipelines.set(kernel.code, pipeline)
    return pipeline
  }

  async #compile({ name, code, bindings }: Kernel): Promise<GPUComputePipeline> {
    const { device, adapterName } = this.#gpu
    device.pushErrorScope('validation')
    const module = device.createShaderModule({ label: name, code })
    const layout = device.createBindGroupLayout({
      entries: Object.values(bindings).map(({ access }, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: BINDING_TYPES[access] },
      })),
    })
    const pipeline = device.createComputePipelineAsync({
      label: name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    })
    pipeline.catch(() => {}) // awaited below, unless the scope knows better why
    const scope = device.popErrorScope()
    try {
      const error = await scope
      if (error) throw error
      return await pipeline
    } catch (cause) {
      const why = (cause as { message?: string }).message ?? String(cause)
      throw new FacetError(
        'unsupported',
        `The kernel "${name}" does not compile on ${adapterName}: ${why.replaceAll(/\s+/g, ' ').slice(0, 500)}`,
        { field: 'graph', cause },
      )
    }
  }
}
