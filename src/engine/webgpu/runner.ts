/** Submits passes to the GPU and brings back what they computed: chosen tokens, or logits. */
import type { GemmaConfig } from '../../gemma/config.ts'
import { Chain, type ChainParts } from './chain.ts'
import { ALTERNATIVE_WORDS, ALTERNATIVES, RESULT_WORDS } from './choices.ts'
import { choosing } from './choosing.ts'
import type { Gpu } from './device.ts'
import { LOGIT_ROWS } from './job.ts'
import { LazyProgram } from './lazy-program.ts'
import type { GpuMemory } from './memory.ts'
import type { GpuPlan } from './plan.ts'
import { Compiler, type OnCompiled, type PassSize, type Program } from './program.ts'
import type { Tuning } from './tuning.ts'

/** Layers and head for each width. */
export interface Programs {
  readonly many: Program
  /** From the narrowest. */
  readonly few: readonly { readonly width: number; readonly layers: Program; readonly head: Program }[]
  /** From logits to tokens. */
  readonly choosing: LazyProgram
}

/** Only widths that so many sequences need. */
export function widthsFor({ rows }: Tuning, sequences: number): number[] {
  const widths = Object.keys(rows).map(Number)
  return widths.filter((_, i) => i === 0 || widths[i - 1]! < sequences)
}

/** What every step needs is compiled when this ends; the choice of tokens, on hardware, soon after. */
export async function compilePrograms(
  gpu: Gpu,
  parts: ChainParts,
  sequences: number,
  onCompiled?: OnCompiled,
): Promise<Programs> {
  const { plan, memory, tuning } = parts
  const compiler = new Compiler(gpu, onCompiled)
  const few = widthsFor(tuning, sequences).map(async (width) => {
    const chain = new Chain(parts, width)
    const [layers, head] = await Promise.all([
      compiler.program(chain.layers()),
      compiler.program(chain.head()),
    ])
    return { width, layers, head }
  })
  const [many, ...narrow] = await Promise.all([compiler.program(new Chain(parts, 'many').layers()), ...few])
  const dispatches = choosing({ layout: plan.choices, buffers: memory.working, turns: memory.turns })
  const chooses = new LazyProgram(compiler, dispatches)
  // Software takes seconds of every core for it.
  if (!gpu.device.adapterInfo.isFallbackAdapter) chooses.compileAll()
  return { many, few: narrow, choosing: chooses }
}

/** What a submission computes. */
export interface Work extends PassSize {
  readonly layers: 'few' | 'many' | 'none'
  /** Rows whose logits are wanted here. */
  readonly fetched: readonly number[]
}

const isSame = (a: Work, b: Work): boolean =>
  a.layers === b.layers &&
  a.tokens === b.tokens &&
  a.rows === b.rows &&
  a.splits === b.splits &&
  a.choices === b.choices &&
  a.fetched.join() === b.fetched.join()

/** Commands that have been written or submitted. */
export interface Submitted {
  readonly work: Work
  /** Where the chosen tokens come to lie. */
  readonly answers: GPUBuffer
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
  /** Written ahead of the step that may need them. */
  #ready: (Submitted & { readonly commands: GPUCommandBuffer }) | undefined
  #submissions = 0

  constructor(parts: RunnerParts) {
    this.#parts = parts
  }

  /** Whether `submit` has all the kernels that this takes. */
  isReady(work: Work): boolean {
    return this.#parts.programs.choosing.isReady(work)
  }

  /** @throws FacetError unsupported when a kernel does not compile */
  makeReady(work: Work): Promise<void> {
    return this.#parts.programs.choosing.prepare(work)
  }

  submit(work: Work): Submitted {
    const ready = this.#ready
    this.#ready = undefined
    const encoded = ready && isSame(ready.work, work) ? ready : this.#encode(work)
    this.#submissions++
    this.#parts.gpu.device.queue.submit([encoded.commands])
    return encoded
  }

  /** Writes the commands of what most likely follows, while the GPU works. */
  prepare(work: Work): void {
    this.#ready = this.#encode(work)
  }

  /** The layers, the head, the choice of tokens, then what is wanted on its way here. */
  #encode(work: Work): Submitted & { readonly commands: GPUCommandBuffer } {
    const { gpu, memory, config } = this.#parts
    const { working, readback } = memory
    const answers = memory.answers[this.#submissions % 2]!
    const encoder = gpu.device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    for (const program of this.programs(work)) program.encode(pass, work)
    pass.end()
    const rowBytes = config.vocabSize * 4
    for (const [i, row] of work.fetched.entries()) {
      encoder.copyBufferToBuffer(working.logits, row * rowBytes, readback, i * rowBytes, rowBytes)
    }
    const copyAnswers = (start: number, wordsPerRow: number): void => {
      const bytes = work.rows * wordsPerRow * 4
      encoder.copyBufferToBuffer(working.results, start * 4, answers, start * 4, bytes)
    }
    if (work.choices !== 0) copyAnswers(0, RESULT_WORDS)
    if ((work.choices & ALTERNATIVES) !== 0) copyAnswers(LOGIT_ROWS * RESULT_WORDS, ALTERNATIVE_WORDS)
    return { work, answers, commands: encoder.finish() }
  }

  /** In the order in which they run. */
  programs({ layers, tokens, rows, choices }: Work): Program[] {
    const { many, few, choosing } = this.#parts.programs
    const width = (count: number): Programs['few'][number] =>
      few.find((each) => each.width >= count) ?? few.at(-1)!
    return [
      ...(layers === 'many' ? [many] : layers === 'few' ? [width(tokens).layers] : []),
      ...(rows > 0 ? [width(rows).head] : []),
      ...(choices !== 0 ? [choosing.program] : []),
    ]
  }

  /** What readResult reads. */
  async results({ answers, work }: Submitted): Promise<Uint32Array> {
    const used = (work.choices & ALTERNATIVES) === 0 ? RESULT_WORDS : RESULT_WORDS + ALTERNATIVE_WORDS
    return new Uint32Array(await this.#read(answers, LOGIT_ROWS * used * 4))
  }

  /** (fetched, vocabSize), a copy. */
  async logits({ work }: Submitted): Promise<Float32Array> {
    const bytes = work.fetched.length * this.#parts.config.vocabSize * 4
    return new Float32Array(await this.#read(this.#parts.memory.readback, bytes))
  }

  async #read(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    await buffer.mapAsync(GPUMapMode.READ, 0, bytes)
    const copy = buffer.getMappedRange(0, bytes).slice(0)
    buffer.unmap()
    this.#parts.gpu.check()
    return copy
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
