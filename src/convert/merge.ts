/** A checkpoint with a LoRA adapter baked in: read as any other, its matrices changed on the way. */
import { basename, resolve } from 'node:path'
import { changed, FacetError } from '../errors.ts'
import {
  type AdapterBase,
  type AdapterSource,
  type OpenedAdapter,
  openAdapter,
  readAdapter,
} from '../gemma/adapter-files.ts'
import { fromFloat32 } from '../gemma/dtype.ts'
import type { LoraPair } from '../gemma/lora.ts'
import { modulePath } from '../gemma/lora-config.ts'
import type { Checkpoint, CheckpointTensor } from './checkpoint.ts'
import { localFiles } from './file-source.ts'
import type { ConvertInput } from './input.ts'
import type { QuantizedBlocks } from './quantize.ts'

/**
 * The input with W + scale * B @ A for every matrix that the adapter changes. Holds the adapter in memory.
 *
 * @param place where the checkpoint is: a name of Gemma's at its end must be the adapter's base
 * @param adapter the directory of a PEFT adapter
 * @throws FacetError invalid_checkpoint, with the tensor and what was expected of it, unsupported, io_failed
 */
export async function withAdapter(
  input: ConvertInput,
  place: string,
  adapter: string,
): Promise<ConvertInput> {
  const base = { config: input.config, manifest: { id: basename(resolve(place)) } }
  const { pairs } = await withOpened(adapter, base, readAdapter)
  return { ...input, checkpoint: new MergedCheckpoint(input.checkpoint, pairs) }
}

/**
 * Opens an adapter here and does something with it.
 *
 * @throws FacetError that names the adapter
 */
export async function withOpened<Result>(
  adapter: string,
  base: AdapterBase,
  work: (opened: OpenedAdapter) => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await work(await openAdapter(localSource(adapter), base))
  } catch (error) {
    if (!(error instanceof FacetError)) throw error
    throw changed(error, {}, `The adapter ${adapter} cannot be used: ${error.message}`)
  }
}

class MergedCheckpoint implements Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  readonly normsHoldOne: boolean
  readonly #base: Checkpoint
  /** By the name of the matrix. */
  readonly #pairs: ReadonlyMap<string, LoraPair>

  constructor(base: Checkpoint, pairs: readonly LoraPair[]) {
    this.#base = base
    this.normsHoldOne = base.normsHoldOne
    this.#pairs = new Map(pairs.map((pair) => [`${modulePath(pair.layer, pair.module)}.weight`, pair]))
    this.tensors = new Map(
      [...base.tensors].map(([name, tensor]) => [
        name,
        this.#pairs.has(name) ? { ...tensor, storedDtype: 'merged' } : tensor,
      ]),
    )
  }

  async read(name: string, start: number = 0, end?: number): Promise<Float32Array> {
    const weights = await this.#base.read(name, start, end)
    const pair = this.#pairs.get(name)
    if (pair) addChange(weights, start, pair)
    return weights
  }

  async readBytes(name: string, start?: number, end?: number): Promise<Uint8Array> {
    if (!this.#pairs.has(name)) return this.#base.readBytes(name, start, end)
    return fromFloat32(await this.read(name, start, end), this.tensors.get(name)!.dtype!)
  }

  async readBlocks(
    name: string,
    start: number,
    end: number,
    bits: 4 | 8,
  ): Promise<QuantizedBlocks | undefined> {
    return this.#pairs.has(name) ? undefined : this.#base.readBlocks?.(name, start, end, bits)
  }

  close(): Promise<void> {
    return this.#base.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** weights, elements `start` and on of W (outputs, inputs), += scale * B @ A; sums in float64, row by row. */
function addChange(weights: Float32Array, start: number, { a, b, rank, inputs, scale }: LoraPair): void {
  const change = new Float64Array(inputs)
  for (let at = 0; at < weights.length; ) {
    const row = Math.floor((start + at) / inputs)
    const first = (start + at) % inputs
    const count = Math.min(inputs - first, weights.length - at)
    change.fill(0, 0, count)
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[row * rank + k]!
      const from = k * inputs + first
      for (let j = 0; j < count; j++) change[j]! += factor * a[from + j]!
    }
    for (let j = 0; j < count; j++) weights[at + j]! += change[j]!
    at += count
  }
}

/** An adapter in a folder here. */
export function localSource(dir: string): AdapterSource {
  const files = localFiles(dir)
  return {
    size: async (path) => {
      const file = await files.open(path)
      await file?.close()
      return file?.sizeBytes
    },
    read: async (path, start, end) => {
      const file = await files.open(path)
      if (!file) return new Uint8Array()
      try {
        const bytes = new Uint8Array(end - start)
        await file.read(bytes, start)
        return bytes
      } finally {
        await file.close()
      }
    },
  }
}
