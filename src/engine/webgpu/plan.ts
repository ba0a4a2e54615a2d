/** What a model takes on a GPU: decided, or refused with figures, before the first byte of it is read. */
import { FacetError } from '../../errors.ts'
import type { GemmaConfig } from '../../gemma/config.ts'
import { bitsOf, type Manifest, type Quantization } from '../../gemma/manifest.ts'
import { formatBytes } from '../../gemma/memory-plan.ts'
import { tensorShapes } from '../../gemma/weights.ts'
import { PAGE } from '../page-pool.ts'
import { type Bits, BLOCK } from './activations.ts'
import type { CacheBits } from './cached.ts'
import { type ChoiceLayout, layOutChoices } from './choices.ts'
import { type SamplingSizes, samplingSizes } from './choosing.ts'
import { FEW, jobWords, LOGIT_ROWS, MANY } from './job.ts'

export interface PlanOptions {
  /** Sequences that may be open at the same time. */
  readonly sequences: number
  /** Positions of each. */
  readonly contextTokens: number
  /** Most bytes of one buffer that a kernel sees: maxStorageBufferBindingSize. */
  readonly bindingBytes: number
  /** Of a key or value. Default 16. */
  readonly cacheBits?: CacheBits | undefined
  /** Whether products may multiply 8-bit integers. */
  readonly integers?: boolean
}

/** Rows of a weight that lie in buffers of their own. */
export interface RowSpan {
  readonly first: number
  readonly rows: number
}

/** Bytes of every working buffer. */
export type Working = Readonly<
  Record<
    | 'x'
    | 'normed'
    | 'qkv'
    | 'attended'
    | 'gated'
    | 'product'
    | 'codes'
    | 'codeScales'
    | 'sums'
    | 'tops'
    | 'logits'
    | 'job'
    | keyof SamplingSizes,
    number
  >
>

export interface GpuPlan {
  /** Of activations: as weights of 4 bits want them, where there may be any. */
  readonly order: Bits
  /** Weights of a row that share a scale. */
  readonly blockSize: number
  readonly cacheBits: CacheBits
  /** By tensor name. */
  readonly matrices: ReadonlyMap<string, MatrixPlan>
  /** Elements of each norm, by tensor name. */
  readonly norms: ReadonlyMap<string, number>
  readonly working: Working
  readonly pageCount: number
  /** Of the keys, and again of the values, of one page in one layer. */
  readonly pageBytes: number
  /** Words of a sequence's page table. */
  readonly tableWords: number
  /** Positions that one workgroup attends to when there are few tokens. */
  readonly split: number
  readonly choices: ChoiceLayout
  readonly contextTokens: number
  readonly weightBytes: number
  readonly cacheBytes: number
  readonly workingBytes: number
  /** All three. */
  readonly totalBytes: number
  /** `The model needs ...`: weights, KV cache, working space. */
  readonly figures: string
}

export interface MatrixPlan {
  readonly rows: number
  readonly columns: number
  /** Of a weight. */
  readonly bits: Bits
  readonly spans: readonly RowSpan[]
}

/** Weights of a row that share a scale. */
const BLOCK_SIZES: readonly number[] = [BLOCK, 2 * BLOCK]
/** Spans start at multiples of this, so that tiles and four-byte words stay whole. */
const SPAN_ROWS = 64
/** Least positions of a split, and most splits of a sequence. */
const SPLIT_POSITIONS = PAGE
const MOST_SPLITS = 256

/**
 * @throws FacetError unsupported for weights or shapes that the kernels do not compute; out_of_memory, with the
 * figures, when a buffer would be larger than the device allows
 */
export function planGpu(config: GemmaConfig, manifest: Manifest, options: PlanOptions): GpuPlan {
  const { sequences, contextTokens, bindingBytes, cacheBits = 16, integers = false } = options
  const quantization = quantizationOf(manifest)
  const { blockSize, int8 = [] } = quantization
  const order = quantization.bits
  // A gate and what it gates are cut alike, whichever of them has 8 bits.
  const widest = int8.length > 0 ? 8 : order
  const matrices = new Map<string, MatrixPlan>()
  const norms = new Map<string, number>()
  let weightBytes = 0
  for (const { name, shape, role } of tensorShapes(config)) {
    const [rows = 0, columns = 0] = shape
    if (role === 'norm') {
      norms.set(name, rows)
      weightBytes += rows * 4
      continue
    }
    if (rows % 16 !== 0 || columns % blockSize !== 0) {
      throw unsupported(
        name,
        `${name} is ${rows} x ${columns}, and the kernels need multiples of 16 x ${blockSize}`,
      )
    }
    const bits = bitsOf(quantization, name)
    matrices.set(name, { rows, columns, bits, spans: spansOf(rows, (columns * widest) / 8, bindingBytes) })
    weightBytes += (rows * columns * bits) / 8 + (rows * columns * 2) / blockSize
  }
  checkHeads(config)

  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabSize, layers } = config
  const pageCount = sequences * Math.ceil(contextTokens / PAGE)
  const pageBytes = (kvHeads * PAGE * headDim * cacheBits) / 8
  const tableWords = Math.ceil(contextTokens / PAGE)
  const split = Math.max(
    SPLIT_POSITIONS,
    Math.ceil(contextTokens / MOST_SPLITS / SPLIT_POSITIONS) * SPLIT_POSITIONS,
  )
  const splits = FEW * heads * Math.ceil(contextTokens / split)
  const floats = (count: number): number => count * 4
  const mostColumns = integers ? Math.max(hiddenSize, heads * headDim, intermediateSize) : BLOCK
  const choices = layOutChoices(vocabSize)
  const working: Working = {
    x: floats(MANY * hiddenSize),
    normed: floats(MANY * hiddenSize),
    qkv: floats(MANY * (heads + 2 * kvHeads) * headDim),
    attended: floats(MANY * heads * headDim),
    gated: floats(MANY * intermediateSize),
    product: floats(config.postNorms ? MANY * hiddenSize : 4),
    codes: MANY * mostColumns,
    codeScales: floats((MANY * mostColumns) / BLOCK),
    sums: floats(splits * headDim),
    tops: floats(splits * 2),
    logits: floats(LOGIT_ROWS * vocabSize),
    job: floats(jobWords(Math.max(FEW, sequences), tableWords)),
    ...samplingSizes(choices),
  }
  const workingBytes = Object.values(working).reduce((a, b) => a + b, 0) + working.logits
  const cacheBytes = 2 * layers.length * pageCount * pageBytes
  const totalBytes = weightBytes + cacheBytes + workingBytes
  const figures = `The model needs ${formatBytes(totalBytes)} of graphics memory: weights ${formatBytes(weightBytes)}, KV cache ${formatBytes(cacheBytes)} for ${sequences} x ${contextTokens} tokens, working space ${formatBytes(workingBytes)}`
  const largest = Math.max(pageCount * pageBytes, ...Object.values(working))
  if (largest > bindingBytes) {
    throw new FacetError(
      'out_of_memory',
      `${figures}; one buffer of it is ${formatBytes(largest)}, and this device allows ${formatBytes(bindingBytes)}. Lower contextTokens or slots, or use a smaller model.`,
    )
  }
  return {
    order,
    blockSize,
    cacheBits,
    matrices,
    norms,
    working,
    pageCount,
    pageBytes,
    tableWords,
    split,
    choices,
    contextTokens,
    weightBytes,
    cacheBytes,
    workingBytes,
    totalBytes,
    figures,
  }
}

function quantizationOf({ quantization, dtype }: Manifest): Quantization {
  if (quantization && BLOCK_SIZES.includes(quantization.blockSize)) return quantization
  const stored = quantization ? `in blocks of ${quantization.blockSize}` : `as ${dtype}`
  throw unsupported(
    'quantization',
    `The weights are stored ${stored}, and the WebGPU kernels need 4 or 8 bits in blocks of ${BLOCK_SIZES.join(' or ')}: convert with --quant int4 or int8, use --engine wasm`,
  )
}

function spansOf(rows: number, rowBytes: number, bindingBytes: number): RowSpan[] {
  const most = Math.max(SPAN_ROWS, Math.floor(bindingBytes / rowBytes / SPAN_ROWS) * SPAN_ROWS)
  return Array.from({ length: Math.ceil(rows / most) }, (_, i) => ({
    first: i * most,
    rows: Math.min(most, rows - i * most),
  }))
}

/** A workgroup has 256 lanes, one for each vector of four of a head, and 16 KiB, where a KV head's queries lie. */
function checkHeads({ headDim, heads, kvHeads }: GemmaConfig): void {
  const share = heads / kvHeads
  if (headDim % 8 === 0 && headDim <= 1024 && share * (headDim * 4 + PAGE * 4 + 4) <= 16_384) return
  throw unsupported(
    'head_dim',
    `${share} heads of ${headDim} share keys, which is more than the kernels hold`,
  )
}

function unsupported(field: string, problem: string): FacetError {
  return new FacetError('unsupported', `${problem}; or use --engine ort.`, { field })
}
