/** Streams a checkpoint's weights into `model.onnx_data`, a few megabytes at a time. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { DTYPE_BYTES, type Dtype, toFloat32 } from '../gemma/dtype.ts'
import { readAhead } from './ahead.ts'
import { type Checkpoint, countOf } from './checkpoint.ts'
import { type TensorSource, withOne } from './checkpoint-weights.ts'
import { BLOCK_SIZE, bitsIn, type Layout, type Piece, type WeightFormat } from './layout.ts'
import type { HashedFile } from './output.ts'
import { leastError, type QuantizedBlocks, quantize, quantizeBfloat16 } from './quantize.ts'
import { rotaryTables } from './rotary.ts'

/** Elements read at a time, unless one row has more. */
export const STEP: number = 1024 * 1024

export interface DataSource {
  readonly checkpoint: Checkpoint
  readonly config: GemmaConfig
  /** In the order of layout.tensors. */
  readonly sources: readonly TensorSource[]
  readonly format: WeightFormat
  readonly layout: Layout
}

export interface DataOptions {
  readonly signal?: AbortSignal
  /** Called after every piece; bytes of the checkpoint. */
  readonly onProgress?: (progress: { doneBytes: number; totalBytes: number }) => void
}

/**
 * Appends every piece of the layout at its offset.
 *
 * @throws FacetError invalid_checkpoint when a weight to quantize is not finite, aborted
 */
export async function writeData(file: HashedFile, data: DataSource, options: DataOptions): Promise<void> {
  const writer = new DataWriter(file, data, options)
  const { quant, blockSize, method } = data.format
  const searched = (weights: Float32Array, bits: 4 | 8): QuantizedBlocks =>
    quantize(weights, bits, blockSize, leastError)
  for (const source of data.sources) {
    if (source.role === 'norm') await writer.norm(source)
    else if (quant === 'none') await writer.plain(source)
    else await writer.matrix(source, method === 'mse' ? searched : undefined)
  }
  await appendRotary(file, data.config, data.layout)
}

/** Weights (rows, columns) of whole rows, at most STEP of them where a row is not longer, to their codes. */
export type Quantizer = (weights: Float32Array, bits: 4 | 8) => QuantizedBlocks | Promise<QuantizedBlocks>

/** A range as it was read: codes that are stored already, bfloat16 as stored, or numbers. */
type Weights = QuantizedBlocks | Uint8Array | Float32Array

/** Appends a model's tensors one by one. Each method takes the next of the layout. */
export class DataWriter {
  readonly #file: HashedFile
  readonly #data: DataSource
  readonly #options: DataOptions
  readonly #totalBytes: number
  #doneBytes = 0
  #next = 0

  constructor(file: HashedFile, data: DataSource, options: DataOptions) {
    this.#file = file
    this.#data = data
    this.#options = options
    const parts = data.sources.flatMap((source) => source.parts)
    this.#totalBytes = parts.reduce((sum, { name }) => sum + storedBytes(data, name), 0)
  }

  /** Returns what was written, its 1 added. */
  async norm(source: TensorSource): Promise<Float32Array> {
    const { checkpoint } = this.#data
    await this.#begin(source)
    const name = source.parts[0]!.name
    const norm = await checkpoint.read(name)
    checkFloats(name, 0, norm)
    const whole = withOne(checkpoint, norm)
    await this.#file.append(toBytes(whole))
    this.#advance(name, norm.length)
    return whole
  }

  /** The numbers as the checkpoint has them. */
  async plain(source: TensorSource): Promise<void> {
    const { checkpoint, format } = this.#data
    await this.#begin(source)
    const ranges = source.parts.flatMap(toRanges)
    const read = ({ name, start, end }: Range): Promise<Uint8Array> => checkpoint.readBytes(name, start, end)
    for await (const [{ name, start, end }, bytes] of readAhead(ranges, read)) {
      checkAborted(this.#options.signal)
      checkNumbers(name, start, bytes, format.dtype)
      await this.#file.append(bytes)
      this.#advance(name, end - start)
    }
  }

  /**
   * Codes, then scales: those the checkpoint has already, where they are of this kind, as every rounding
   * loses something.
   *
   * @param quantizer default: to the nearest
   * @param visit is given the rows as they were written
   */
  async matrix(
    source: TensorSource,
    quantizer?: Quantizer,
    visit?: (blocks: QuantizedBlocks) => void,
  ): Promise<void> {
    const { format } = this.#data
    const bits = bitsIn(format, source.name)
    const scales: Uint16Array[] = []
    const [, second] = await this.#begin(source)
    const ranges = source.parts.flatMap(toRanges)
    const read = (range: Range): Promise<Weights> => this.#read(range, bits, quantizer !== undefined)
    for await (const [range, weights] of readAhead(ranges, read)) {
      checkAborted(this.#options.signal)
      const blocks = await this.#round(range, weights, bits, quantizer)
      await this.#file.append(blocks.codes)
      scales.push(blocks.scales)
      visit?.(blocks)
      this.#advance(range.name, range.end - range.start)
    }
    await this.#file.padTo(second!.data.offset)
    for (const part of scales) await this.#file.append(toBytes(part))
  }

  /** @param wantsFloats whoever rounds takes nothing else */
  async #read({ name, start, end }: Range, bits: 4 | 8, wantsFloats: boolean): Promise<Weights> {
    const { checkpoint, format } = this.#data
    if ((format.blockSize ?? BLOCK_SIZE) === BLOCK_SIZE) {
      const blocks = await checkpoint.readBlocks?.(name, start, end, bits)
      if (blocks) return blocks
    }
    // What is computed, as merged weights are, has more digits than its bytes.
    const isBfloat16 = /^bf16$/i.test(checkpoint.tensors.get(name)!.storedDtype)
    if (bits === 4 && isBfloat16 && !wantsFloats) return checkpoint.readBytes(name, start, end)
    return checkpoint.read(name, start, end)
  }

  #round(
    range: Range,
    weights: Weights,
    bits: 4 | 8,
    quantizer?: Quantizer,
  ): QuantizedBlocks | Promise<QuantizedBlocks> {
    const { name, start } = range
    const { blockSize } = this.#data.format
    if (weights instanceof Uint8Array) {
      return quantizeBfloat16(weights, blockSize) ?? this.#round(range, toFloat32(weights, 'bf16'), bits)
    }
    if (weights instanceof Float32Array) {
      checkFloats(name, start, weights)
      return quantizer ? quantizer(weights, bits) : quantize(weights, bits, blockSize)
    }
    checkScales(name, start, weights.scales)
    return weights
  }

  async #begin({ name }: TensorSource): Promise<readonly [Piece, Piece | undefined]> {
    const { tensor, pieces } = this.#data.layout.tensors[this.#next++]!
    if (tensor.name !== name) throw new RangeError(`${name} was written where ${tensor.name} belongs`)
    const [first, second] = pieces as [Piece, Piece?]
    await this.#file.padTo(first.data.offset)
    return [first, second]
  }

  #advance(name: string, elements: number): void {
    this.#doneBytes += elements * bytesPerElement(this.#data, name)
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes })
  }
}

/** The last pieces of a layout that has them. */
export async function appendRotary(file: HashedFile, config: GemmaConfig, layout: Layout): Promise<void> {
  if (layout.rotary.length === 0) return
  const { cos, sin } = rotaryTables(config)
  for (const [index, table] of [cos, sin].entries()) {
    await file.padTo(layout.rotary[index]!.data.offset)
    await file.append(toBytes(table))
  }
}

/** @throws FacetError aborted */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return
  throw new FacetError('aborted', 'The work was stopped, and nothing was left behind.', {
    cause: signal.reason,
  })
}

/** Elements start (inclusive) to end (exclusive) of a checkpoint's tensor. */
export interface Range {
  readonly name: string
  readonly start: number
  readonly end: number
}

/** Whole rows. */
export function toRanges({ name, shape }: TensorSource['parts'][number]): Range[] {
  const count = countOf(shape)
  const columns = shape.at(-1)!
  const step = Math.max(1, Math.floor(STEP / columns)) * columns
  const starts = Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step)
  return starts.map((start) => ({ name, start, end: Math.min(start + step, count) }))
}

function bytesPerElement({ checkpoint }: DataSource, name: string): number {
  return DTYPE_BYTES[checkpoint.tensors.get(name)!.dtype!]
}

function storedBytes(data: DataSource, name: string): number {
  const { shape } = data.checkpoint.tensors.get(name)!
  return countOf(shape) * bytesPerElement(data, name)
}

/** Codes that a checkpoint has come with scales that may not be numbers. */
function checkScales(name: string, start: number, scales: Uint16Array): void {
  const block = scales.findIndex((scale) => (scale & 0x7f80) === 0x7f80)
  if (block >= 0) throw notFinite(name, start + block * BLOCK_SIZE, BLOCK_SIZE)
}

function checkFloats(name: string, start: number, weights: Float32Array): void {
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum += weights[i]! * 0 // NaN as soon as one of them is not finite
  if (sum === 0) return
  throw notFinite(name, start + weights.findIndex((weight) => !Number.isFinite(weight)), 1)
}

/** Exponents of which every bit is set, by the upper half of the number. */
const EXPONENT: Readonly<Record<Dtype, number>> = { bf16: 0x7f80, f16: 0x7c00, f32: 0x7f80 }

function checkNumbers(name: string, start: number, bytes: Uint8Array, dtype: Dtype): void {
  const size = DTYPE_BYTES[dtype]
  const mask = EXPONENT[dtype]
  for (let at = size - 2; at < bytes.length; at += size) {
    const upper = bytes[at]! | (bytes[at + 1]! << 8)
    if ((upper & mask) === mask) throw notFinite(name, start + Math.floor(at / size), 1)
  }
}

function notFinite(name: string, first: number, count: number): FacetError {
  const where =
    count === 1 ? `the weight ${first}` : `a weight between elements ${first} and ${first + count - 1}`
  const problem = `${name}: ${where} is not a finite number; download the checkpoint again.`
  return new FacetError('invalid_checkpoint', problem, { field: name })
}

function toBytes({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
