/** What a checkpoint is to the converter, whatever file it lies in: tensors by their Hugging Face names. */
import type { Dtype } from '../gemma/dtype.ts'
import type { QuantizedBlocks } from './quantize.ts'

export interface CheckpointTensor {
  readonly name: string
  /** The file it lies in, relative to the directory. */
  readonly file: string
  /** As Hugging Face has it: (out, in) for a matrix. */
  readonly shape: readonly number[]
  /** As the file spells it, for example `BF16` or `Q4_0`. */
  readonly storedDtype: string
  /** What readBytes gives; undefined where the tensor cannot be read. */
  readonly dtype: Dtype | undefined
}

export interface Checkpoint extends AsyncDisposable {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  /** Whether RMSNorm weights are stored as 1 + w, as GGUF does. */
  readonly normsHoldOne: boolean
  /**
   * Elements start (inclusive) to end (exclusive) of the flattened, row-major tensor in float32;
   * the whole tensor by default.
   *
   * @throws FacetError invalid_checkpoint when there is no such tensor or its dtype is not a float
   */
  read(name: string, start?: number, end?: number): Promise<Float32Array>
  /** The same range in the tensor's dtype, little-endian. */
  readBytes(name: string, start?: number, end?: number): Promise<Uint8Array>
  /**
   * The same range, whole blocks of 32, with the codes that are stored; undefined where they are no
   * such codes and have to be computed.
   */
  readBlocks?(name: string, start: number, end: number, bits: 4 | 8): Promise<QuantizedBlocks | undefined>
  close(): Promise<void>
}

/** The elements of a tensor. */
export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** @throws RangeError, as it would be a mistake of ours */
export function checkRange(name: string, start: number, end: number, count: number): void {
  if (start >= 0 && start <= end && end <= count) return
  throw new RangeError(`${name}: elements ${start} to ${end} of ${count}`)
}
