/** Submits passes to the GPU and brings their logits back. */
import type { GemmaConfig } from '../../gemma/config.ts'
import { Chain, type ChainParts } from './chain.ts'
import type { Gpu } from './device.ts'
import type { GpuMemory } from './memory.ts'
import type { GpuPlan } from './plan.ts'
import { Compiler, type PassSize, type Program } from './program.ts'

/** Layers and head for each width. */
export interface Programs {
  readonly many: Program
  /** From the narrowest. */
  readonly few: readonly { readonly width: number; readonly layers: Program; readonly head: Program }[]
}

/** Only widths that so many sequences need. */
export async function compilePrograms(gpu: Gpu, parts: ChainParts, sequences: number): Promise<Programs> {
  const compiler = new Compiler(gpu)
  const widths = Object.keys(parts.tuning.rows).map(Number)
  const needed = widths.filter((_, i) => i === 0 || widths[i - 1]! < sequences)
  const many = compiler.program(new Chain(parts, 'many').layers())
  const few = needed.map(async (width) => {
    const chain = new Chain(parts, width)
    const [layers, head] = await Promise.all([
      compiler.program(chain.layers()),
      compiler.program(chain.head()),
    ])
    return { width, layers, head }
  })
  const [wide, ...narrow] = await Promise.all([many, ...few])
  return { many: wide, few: narrow }
}

/** What a submission computes. */
export interface Work extends PassSize {
  readonly layers: 'few' | 'many' | 'none'
}

const isSame = (a: Work, b: Work): boolean =>
  a.layers === b.layers && a.tokens === b.tokens && a.rows === b.rows && a.splits === b.splits

/** Where a row of logits goes. */
export interface Target {
  readonly out: Float32Array
  readonly row: number
}

export interface RunnerParts {
  readonly gpu: Gpu
  readonly config: GemmaConfig
  readonly plan: GpuPlan
  readonly memory: GpuMemory
  readonly programs: Programs
}

export class Runner {
  readonly #parts: RunnerParts
  /** Commands written ahead of the step that may need them. */
  #ready: { readonly work: Work; readonly commands: GPUCommandBuffer } | undefined

  constructor(parts: RunnerParts) {
    this.#parts = parts
  }

  submit(work: Work): void {
    const ready = this.#ready
    this.#ready = undefined
    const commands = ready && isSame(ready.work, work) ? ready.commands : this.#encode(work)
    this.#parts.gpu.device.queue.submit([commands])
  }

  /** The layers, then the head, then the logits on their way here. */
  #encode(work: Work): GPUCommandBuffer {
    const { gpu, memory, config } = this.#parts
    const encoder = gpu.device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    for (const program of this.programs(work)) program.encode(pass, work)
    pass.end()
    const bytes = work.rows * config.vocabSize * 4
    if (bytes > 0) encoder.copyBufferToBuffer(memory.working.logits, 0, memory.readback, 0, bytes)
    return encoder.finish()
  }

  /** In the order in which they run. */
  programs({ layers, tokens, rows }: Work): Program[] {
    const { many, few } = this.#parts.programs
    const width = (count: number): Programs['few'][number] =>
      few.find((each) => each.width >= count) ?? few.at(-1)!
    return [
      ...(layers === 'many' ? [many] : layers === 'few' ? [width(tokens).layers] : []),
      ...(rows > 0 ? [width(rows).head] : []),
    ]
  }

  /** @param next what most likely follows: its commands are written while the GPU works */
  async logits(targets: readonly Target[], next?: Work): Promise<void> {
    const { gpu, memory, config } = this.#parts
    const { vocabSize } = config
    const { readback } = memory
    const bytes = targets.length * vocabSize * 4
    const mapped = readback.mapAsync(GPUMapMode.READ, 0, bytes)
    if (next) this.#ready = { work: next, commands: this.#encode(next) }
    await mapped
    const logits = new Float32Array(readback.getMappedRange(0, bytes))
    for (const [i, { out, row }] of targets.entries()) {
      out.set(logits.subarray(i * vocabSize, (i + 1) * vocabSize), row * vocabSize)
    }
    readback.unmap()
    gpu.check()
  }

  /** Through a buffer between: a copy within one is not allowed. */
  copyPage(from: number, to: number): void {
    const { gpu, memory, plan } = this.#parts
    const { pageBytes } = plan
    const encoder = gpu.device.createCommandEncoder()
    for (const buffer of [...memory.keys, ...memory.values]) {
      encoder.copyBufferToBuffer(buffer, from * pageBytes, memory.page, 0, pageBytes)
      encoder.copyBufferToBuffer(memory.page, 0, buffer, to * pageBytes, pageBytes)
    }
    gpu.device.queue.submit([encoder.finish()])
  }
}
