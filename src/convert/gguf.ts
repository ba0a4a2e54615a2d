/** A GGUF file of a Gemma as a checkpoint: its tensors under Hugging Face's names, decoded range by range. */
import { FacetError } from '../errors.ts'
import { CONFIG_FILE } from '../gemma/manifest.ts'
import { tensorShapes } from '../gemma/weights.ts'
import { type Checkpoint, type CheckpointTensor, checkRange, countOf } from './checkpoint.ts'
import { configOf, toJsonFile } from './checkpoint-files.ts'
import { partsOf } from './checkpoint-weights.ts'
import type { FileSource, SourceFile } from './file-source.ts'
import { BLOCK_TYPES, toBlocks } from './gguf-blocks.ts'
import { type GgufHeader, type GgufTensor, readGgufHeader } from './gguf-header.ts'
import { toConfigJson, toGgufName } from './gguf-names.ts'
import { toTokenizerModel } from './gguf-tokenizer.ts'
import type { ConvertInput } from './input.ts'
import { BITS, BLOCK_SIZE } from './layout.ts'
import type { QuantizedBlocks } from './quantize.ts'

/**
 * Opens a GGUF file: tensors in F32, F16, BF16, Q4_0, Q8_0, Q4_K or Q6_K.
 *
 * @throws FacetError invalid_checkpoint, unsupported
 */
export async function openGguf(source: FileSource, name: string): Promise<ConvertInput> {
  const file = await source.open(name)
  if (!file) throw new FacetError('invalid_checkpoint', `${source.place} has no ${name}.`, { field: name })
  try {
    const header = await readGgufHeader(name, file)
    refuseParts(name, header)
    const copies = new Map([[CONFIG_FILE, toJsonFile(toConfigJson(name, header))]])
    const config = configOf(copies, name)
    const tokenizer = toTokenizerModel(name, header.metadata)
    if (tokenizer) copies.set('tokenizer.model', tokenizer)
    const stored = new Map(header.tensors.map((tensor) => [tensor.name, tensor]))
    const places = new Map<string, GgufTensor>()
    for (const part of tensorShapes(config).flatMap((tensor) => partsOf(tensor, config))) {
      const tensor = stored.get(toGgufName(part.name, config.postNorms))
      if (tensor) places.set(part.name, tensor)
    }
    return { copies, config, checkpoint: new GgufCheckpoint(name, file, places) }
  } catch (error) {
    await file.close()
    throw error
  }
}

function refuseParts(file: string, { metadata, tensors }: GgufHeader): void {
  const parts = metadata.get('split.count')
  if (typeof parts === 'number' && parts > 1) {
    const problem = `${file} is one of ${parts} parts; join them with llama-gguf-split --merge.`
    throw new FacetError('unsupported', problem, { field: 'split.count' })
  }
  if (tensors.some(({ name }) => name === 'output.weight')) {
    const problem = `${file}: output.weight is a head of its own, but only models whose head is the embedding can be converted.`
    throw new FacetError('unsupported', problem, { field: 'output.weight' })
  }
}

class GgufCheckpoint implements Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  readonly normsHoldOne = true
  readonly #name: string
  readonly #file: SourceFile
  readonly #places: ReadonlyMap<string, GgufTensor>

  constructor(name: string, file: SourceFile, places: ReadonlyMap<string, GgufTensor>) {
    this.#name = name
    this.#file = file
    this.#places = places
    this.tensors = new Map(
      [...places].map(([hf, { dims, type, storedType }]) => [
        hf,
        {
          name: hf,
          file: name,
          shape: dims.toReversed(),
          storedDtype: storedType,
          dtype: type && (DTYPES[type as keyof typeof DTYPES] ?? 'f32'),
        },
      ]),
    )
  }

  async read(name: string, start = 0, end?: number): Promise<Float32Array> {
    const { tensor, type, last } = this.#range(name, start, end)
    const { elements, decode } = BLOCK_TYPES[type]
    const first = Math.floor(start / elements)
    const bytes = await this.#blocks(tensor, type, first, Math.ceil(last / elements))
    return decode(bytes).subarray(start - first * elements, last - first * elements)
  }

  async readBytes(name: string, start = 0, end?: number): Promise<Uint8Array> {
    const { tensor, type, last } = this.#range(name, start, end)
    if (type in DTYPES) return this.#blocks(tensor, type, start, last)
    const { buffer, byteOffset, byteLength } = await this.read(name, start, last)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }

  async readBlocks(
    name: string,
    start: number,
    end: number,
    bits: 4 | 8,
  ): Promise<QuantizedBlocks | undefined> {
    const { tensor, type } = this.#range(name, start, end)
    if ((type !== 'Q4_0' && type !== 'Q8_0') || bits !== (type === 'Q4_0' ? BITS.int4 : BITS.int8)) return
    return toBlocks(await this.#blocks(tensor, type, start / BLOCK_SIZE, end / BLOCK_SIZE), type)
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #blocks(
    { offset }: GgufTensor,
    type: keyof typeof BLOCK_TYPES,
    first: number,
    last: number,
  ): Promise<Uint8Array> {
    const { bytes: size } = BLOCK_TYPES[type]
    const bytes = new Uint8Array((last - first) * size)
    await this.#file.read(bytes, offset + first * size)
    return bytes
  }

  #range(name: string, start: number, end?: number) {
    const tensor = this.#places.get(name)
    const fail = (problem: string): never => {
      throw new FacetError('invalid_checkpoint', `${this.#name}: ${name} ${problem}.`, { field: name })
    }
    if (!tensor) return fail('is missing; download the file again')
    const { type, storedType, dims } = tensor
    if (!type) return fail(`is ${storedType}, which cannot be read; take the model in Q4_0, Q8_0 or F16`)
    const last = end ?? countOf(dims)
    checkRange(name, start, last, countOf(dims))
    return { tensor, type, last }
  }
}

/** Types whose bytes are plain numbers. */
const DTYPES = { F32: 'f32', F16: 'f16', BF16: 'bf16' } as const
