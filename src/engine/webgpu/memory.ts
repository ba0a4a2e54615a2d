/** A model's buffers on the GPU: allocated once, filled chunk by chunk from the model directory. */
import { FacetError } from '../../errors.ts'
import type { GemmaConfig } from '../../gemma/config.ts'
import { DATA_FILE, GRAPH_FILE } from '../../gemma/manifest.ts'
import { decodeModel, initializerBytes } from '../../gemma/onnx.ts'
import { distinctRopes, frequencies } from '../../gemma/rope.ts'
import { dataEntry, type OpenedModel } from '../model-file.ts'
import { readChunks } from '../model-files.ts'
import { placed } from './activations.ts'
import type { Gpu } from './device.ts'
import type { GpuPlan, RowSpan, Working } from './plan.ts'
import { PASSES } from './sampling.ts'

/** Rows of a quantized weight. */
export interface Part extends RowSpan {
  /** Uniform: first row, number of rows. */
  readonly span: GPUBuffer
  readonly codes: GPUBuffer
  readonly scales: GPUBuffer
}

export interface GpuMemory {
  readonly matrices: ReadonlyMap<string, readonly Part[]>
  readonly norms: ReadonlyMap<string, GPUBuffer>
  /** cos and sin of every position and pair, for each rotary base. */
  readonly angles: ReadonlyMap<string, GPUBuffer>
  /** Of each layer. */
  readonly keys: readonly GPUBuffer[]
  readonly values: readonly GPUBuffer[]
  readonly working: Readonly<Record<keyof Working, GPUBuffer>>
  readonly readback: GPUBuffer
  /** What was chosen, for the CPU: one is read while the GPU writes the other. */
  readonly answers: readonly [GPUBuffer, GPUBuffer]
  /** Uniform: the number of each pass of top-k and top-p. */
  readonly turns: readonly GPUBuffer[]
  /** A page's keys or values on their way to another page. */
  readonly page: GPUBuffer
  /** Of all buffers together. */
  readonly sizeBytes: number
}

/** Allocates everything; nothing is written yet but the spans. */
export function allocate({ device }: Gpu, config: GemmaConfig, plan: GpuPlan): GpuMemory {
  const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = GPUBufferUsage
  let sizeBytes = 0
  const buffer = (label: string, size: number, usage: number = STORAGE | COPY_DST | COPY_SRC): GPUBuffer => {
    const padded = Math.ceil(size / 16) * 16
    sizeBytes += padded
    return device.createBuffer({ label, size: padded, usage })
  }
  const matrices = new Map<string, Part[]>()
  for (const [name, { columns, bits, spans }] of plan.matrices) {
    matrices.set(
      name,
      spans.map(({ first, rows }) => {
        const span = buffer(`${name} span`, 16, UNIFORM | COPY_DST)
        device.queue.writeBuffer(span, 0, Uint32Array.of(first, rows))
        return {
          first,
          rows,
          span,
          codes: buffer(`${name} codes`, (rows * columns * bits) / 8),
          scales: buffer(`${name} scales`, (rows * columns * 2) / plan.blockSize),
        }
      }),
    )
  }
  const cache = (kind: string): GPUBuffer[] =>
    config.layers.map((_, layer) => buffer(`${kind} of layer ${layer}`, plan.pageCount * plan.pageBytes))
  const working = Object.fromEntries(
    Object.entries(plan.working).map(([name, size]) => [name, buffer(name, size)]),
  ) as Record<keyof Working, GPUBuffer>
  const answers = (): GPUBuffer => buffer('answers', plan.working.results, MAP_READ | COPY_DST)
  const buffers = {
    matrices,
    norms: new Map([...plan.norms].map(([name, elements]) => [name, buffer(name, elements * 4)])),
    angles: new Map(
      [...distinctRopes(config).keys()].map((key) => [
        key,
        buffer(`angles ${key}`, plan.contextTokens * config.headDim * 4),
      ]),
    ),
    keys: cache('keys'),
    values: cache('values'),
    working,
    readback: buffer('readback', plan.working.logits, MAP_READ | COPY_DST),
    answers: [answers(), answers()] as const,
    turns: Array.from({ length: PASSES }, (_, pass) => {
      const turn = buffer(`pass ${pass}`, 16, UNIFORM | COPY_DST)
      device.queue.writeBuffer(turn, 0, Uint32Array.of(pass))
      return turn
    }),
    page: buffer('page', plan.pageBytes),
  }
  return { ...buffers, sizeBytes }
}

/** Gives every buffer back at once, rather than when the garbage collector finds it. */
export function free(memory: GpuMemory): void {
  const { matrices, norms, angles, keys, values, working, readback, answers, turns, page } = memory
  for (const { span, codes, scales } of [...matrices.values()].flat()) {
    for (const buffer of [span, codes, scales]) buffer.destroy()
  }
  const all = [norms.values(), angles.values(), keys, values, Object.values(working), answers, turns]
  const rest = [...all, [readback, page]]
  for (const buffers of rest) for (const buffer of buffers) buffer.destroy()
}

const ANGLE_POSITIONS = 1024

/** Angles as transformers computes them: float32 frequencies times positions, rounded, then cosine and sine. */
export function writeAngles({ device }: Gpu, config: GemmaConfig, plan: GpuPlan, memory: GpuMemory): void {
  const half = config.headDim / 2
  for (const [key, rope] of distinctRopes(config)) {
    const turns = frequencies(rope, config.headDim)
    for (let start = 0; start < plan.contextTokens; start += ANGLE_POSITIONS) {
      const count = Math.min(ANGLE_POSITIONS, plan.contextTokens - start)
      const angles = new Float32Array(count * config.headDim)
      for (let p = 0; p < count; p++) {
        for (const [i, frequency] of turns.entries()) {
          const angle = Math.fround((start + p) * frequency)
          angles[(p * half + i) * 2] = Math.cos(angle)
          angles[(p * half + i) * 2 + 1] = Math.sin(angle)
        }
      }
      device.queue.writeBuffer(memory.angles.get(key)!, start * config.headDim * 4, angles)
    }
  }
}

/** Bytes of the data file, and where they go. */
interface Stretch {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly to: GPUBuffer | Uint8Array
}

/** Chunks that may be on their way to the GPU at once, each in a copy of the driver's. */
const CHUNKS_AHEAD = 4

/**
 * Fills weights and norms. One chunk of the file is on the JavaScript heap at a time.
 *
 * @param check throws when there is no use in going on
 * @throws FacetError invalid_model, checksum_mismatch
 */
export async function loadWeights(
  gpu: Gpu,
  model: Pick<OpenedModel, 'files' | 'manifest' | 'config' | 'graph' | 'reading'>,
  plan: GpuPlan,
  memory: GpuMemory,
  check: () => void,
): Promise<void> {
  const { device } = gpu
  const entry = dataEntry(model)
  const norms = new Map([...plan.norms].map(([name, elements]) => [name, new Float32Array(elements)]))
  const stretches = stretchesOf(model.graph, plan, memory, norms)
  const last = stretches.at(-1)
  if (last && last.end > entry.sizeBytes) throw invalid(last.name, `lies beyond the end of ${DATA_FILE}`)
  let next = 0
  let chunks = 0
  for await (const { start, bytes } of readChunks(model.files, entry, model.reading)) {
    const end = start + bytes.length
    for (; next < stretches.length; next++) {
      const stretch = stretches[next]!
      if (stretch.start >= end) break
      const from = Math.max(start, stretch.start)
      const piece = bytes.subarray(from - start, Math.min(end, stretch.end) - start)
      if (stretch.to instanceof Uint8Array) stretch.to.set(piece, from - stretch.start)
      else device.queue.writeBuffer(stretch.to, from - stretch.start, piece)
      if (stretch.end > end) break
    }
    device.queue.submit([])
    if (++chunks % CHUNKS_AHEAD === 0) await device.queue.onSubmittedWorkDone()
    check()
  }
  for (const [name, values] of norms) {
    device.queue.writeBuffer(
      memory.norms.get(name)!,
      0,
      isFused(name, model.config) ? placed(values, plan.order) : values,
    )
  }
}

/** Norms of the residual lie as activations do; those of products and heads as they are. */
function isFused(name: string, { postNorms }: GemmaConfig): boolean {
  const part = name.split('.').at(-2)
  const beforeMlp = postNorms ? 'pre_feedforward_layernorm' : 'post_attention_layernorm'
  return part === 'norm' || part === 'input_layernorm' || part === beforeMlp
}

/** In the file's order. */
function stretchesOf(
  graph: Uint8Array,
  plan: GpuPlan,
  memory: GpuMemory,
  norms: ReadonlyMap<string, Float32Array<ArrayBuffer>>,
): Stretch[] {
  const initializers = new Map(decodeModel(graph).initializers.map((each) => [each.name, each]))
  const startOf = (name: string, expectedBytes: number): number => {
    const found = initializers.get(name)
    if (!found) throw invalid(name, 'is missing')
    const { type, dims, data } = found
    if (data instanceof Uint8Array || data.location !== DATA_FILE)
      throw invalid(name, `is not in ${DATA_FILE}`)
    const bytes = initializerBytes(type, dims)
    if (bytes === expectedBytes && data.offset % 4 === 0) return data.offset
    throw invalid(name, `has ${bytes} bytes where config.json makes it ${expectedBytes}`)
  }
  const stretches: Stretch[] = []
  for (const [name, values] of norms) {
    const start = startOf(name, values.byteLength)
    stretches.push({ name, start, end: start + values.byteLength, to: new Uint8Array(values.buffer) })
  }
  for (const [name, { rows, columns, bits }] of plan.matrices) {
    const kinds = [
      { name: `${name}_quant`, rowBytes: (columns * bits) / 8, buffer: 'codes' },
      { name: `${name}_scale`, rowBytes: (columns * 2) / plan.blockSize, buffer: 'scales' },
    ] as const
    for (const { name: initializer, rowBytes, buffer } of kinds) {
      const start = startOf(initializer, rows * rowBytes)
      for (const part of memory.matrices.get(name)!) {
        const from = start + part.first * rowBytes
        stretches.push({ name: initializer, start: from, end: from + part.rows * rowBytes, to: part[buffer] })
      }
    }
  }
  stretches.sort((a, b) => a.start - b.start)
  for (const [i, { name, start }] of stretches.entries()) {
    if (i > 0 && start < stretches[i - 1]!.end) throw invalid(name, `overlaps ${stretches[i - 1]!.name}`)
  }
  return stretches
}

function invalid(name: string, problem: string): FacetError {
  return new FacetError(
    'invalid_model',
    `${GRAPH_FILE}: ${name} ${problem}; download or convert the model again.`,
    {
      field: name,
    },
  )
}
