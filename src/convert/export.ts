/** Models out of Facet: as GGUF for llama.cpp, and as a Hugging Face checkpoint. */
import { basename, extname } from 'node:path'
import { FacetError } from '../errors.ts'
import { DTYPE_BYTES, type Dtype, toBfloat16, toFloat16 } from '../gemma/dtype.ts'
import type { FileEntry } from '../gemma/manifest.ts'
import { PieceType } from '../gemma/sentencepiece.ts'
import { tensorShapes } from '../gemma/weights.ts'
import { type Checkpoint, countOf } from './checkpoint.ts'
import { parseJson } from './checkpoint-files.ts'
import { partsOf, tensorSources } from './checkpoint-weights.ts'
import { checkAborted, STEP } from './data-file.ts'
import { toGgufName, toMetadata } from './gguf-names.ts'
import { vocabularyOf } from './gguf-tokenizer.ts'
import {
  encodeF16,
  encodeGgufHeader,
  encodeQ40,
  encodeQ80,
  FILE_TYPES,
  fromBlocks,
  type GgufEntry,
  type GgufPlan,
  paddingAfter,
  tensorBytes,
} from './gguf-writer.ts'
import { type ConvertInput, openInput } from './input.ts'
import { BITS } from './layout.ts'
import { type Disk, disk, fillDirectory, fillFile, HashedFile } from './output.ts'

export type GgufWeights = 'Q4_0' | 'Q8_0' | 'F16'

export interface ExportOptions {
  /** Of a GGUF file's matrices. Default: Q4_0 for int4, Q8_0 for int8, else F16. */
  readonly gguf?: GgufWeights
  /** Of a Hugging Face checkpoint. Default: the model's own, bf16 for a quantized one. */
  readonly dtype?: Dtype
  readonly force?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
}

/**
 * Writes what `from` holds (a model directory or any checkpoint) to `out`: a GGUF file when the name
 * ends in `.gguf`, one safetensors file when in `.safetensors`, else the directory of a Hugging Face
 * checkpoint.
 *
 * @throws FacetError as convert does; `out` is then as before
 */
export async function exportModel(
  from: string,
  out: string,
  options: ExportOptions = {},
  target: Disk = disk,
): Promise<readonly FileEntry[]> {
  const input = await openInput(from)
  try {
    tensorSources(input.checkpoint, input.config)
    const force = options.force ?? false
    const kind = extname(out)
    if (kind === '.gguf') {
      const fill = (file: HashedFile): Promise<void> => writeGguf(file, input, basename(out, kind), options)
      return [await fillFile(target, out, force, fill)]
    }
    const fill = (file: HashedFile): Promise<void> => writeSafetensors(file, input, options)
    if (kind === '.safetensors') return [await fillFile(target, out, force, fill)]
    return await fillDirectory(out, force, async (dir) => {
      const files: FileEntry[] = []
      for (const [name, bytes] of input.copies) {
        files.push(await HashedFile.write(target, dir, name, (file) => file.append(bytes)))
      }
      return [...files, await HashedFile.write(target, dir, 'model.safetensors', fill)]
    })
  } finally {
    await input.checkpoint.close()
  }
}

interface Part {
  readonly name: string
  readonly shape: readonly number[]
  readonly norm: boolean
}

/** The tensors of a Hugging Face checkpoint, in our order. */
function partsIn({ config }: ConvertInput): Part[] {
  return tensorShapes(config).flatMap((tensor) =>
    partsOf(tensor, config).map((part) => ({ ...part, norm: tensor.role === 'norm' })),
  )
}

/** Calls back with ranges of whole blocks, a few megabytes each, and keeps count of what is done. */
async function eachRange(
  parts: readonly Part[],
  options: ExportOptions,
  visit: (part: Part, start: number, end: number) => Promise<void>,
  after: (part: Part) => Promise<void>,
): Promise<void> {
  const total = parts.reduce((sum, { shape }) => sum + countOf(shape), 0)
  let done = 0
  for (const part of parts) {
    const count = countOf(part.shape)
    for (let start = 0; start < count; start += STEP) {
      checkAborted(options.signal)
      const end = Math.min(start + STEP, count)
      await visit(part, start, end)
      done += end - start
      options.onProgress?.({ doneBytes: done * 2, totalBytes: total * 2 })
    }
    await after(part)
  }
}

async function writeGguf(
  file: HashedFile,
  input: ConvertInput,
  name: string,
  options: ExportOptions,
): Promise<void> {
  const { checkpoint, config, copies } = input
  const stored = checkpoint.tensors.get('model.embed_tokens.weight')!.storedDtype
  const type = options.gguf ?? STORED[stored] ?? 'F16'
  const parts = partsIn(input)
  const plans = parts.map(({ name: part, shape, norm }): GgufPlan => {
    const planned = { name: toGgufName(part, config.postNorms), dims: shape.toReversed() }
    return { ...planned, type: norm ? 'F32' : type }
  })
  const uneven = type !== 'F16' && plans.find(({ type: own, dims }) => own === type && dims[0]! % 32 !== 0)
  if (uneven) {
    const problem = `${uneven.name} has rows of ${uneven.dims[0]} weights, which blocks of 32 do not divide; export it as F16.`
    throw new FacetError('unsupported', problem, { field: 'gguf' })
  }
  const metadata = new Map<string, GgufEntry>([
    ...toMetadata(config, name),
    ['general.file_type', { uint32: FILE_TYPES[type] }],
    ...tokenizerEntries(copies, config.vocabSize, config.bosId, config.eosIds),
  ])
  await file.append(encodeGgufHeader(metadata, plans))
  const byPart = new Map(parts.map((part, index) => [part, plans[index]!]))
  await eachRange(
    parts,
    options,
    async (part, start, end) => file.append(await encodeRange(checkpoint, part, start, end, type)),
    async (part) => file.append(new Uint8Array(paddingAfter(tensorBytes(byPart.get(part)!)))),
  )
}

const STORED: Readonly<Record<string, GgufWeights>> = {
  int4: 'Q4_0',
  int8: 'Q8_0',
  Q4_0: 'Q4_0',
  Q8_0: 'Q8_0',
}

async function encodeRange(
  checkpoint: Checkpoint,
  { name, norm }: Part,
  start: number,
  end: number,
  type: GgufWeights,
): Promise<Uint8Array> {
  if (norm) {
    const weights = await checkpoint.read(name, start, end)
    return toBytes(checkpoint.normsHoldOne ? weights : weights.map((weight) => weight + 1))
  }
  if (type === 'F16') return encodeF16(await checkpoint.read(name, start, end))
  const bits = type === 'Q4_0' ? BITS.int4 : BITS.int8
  const blocks = await checkpoint.readBlocks?.(name, start, end, bits)
  if (blocks) return fromBlocks(blocks, type)
  const weights = await checkpoint.read(name, start, end)
  return type === 'Q4_0' ? encodeQ40(weights) : encodeQ80(weights)
}

function tokenizerEntries(
  copies: ReadonlyMap<string, Uint8Array>,
  vocabSize: number,
  bosId: number,
  eosIds: readonly number[],
): [string, GgufEntry][] {
  const pieces = vocabularyOf(copies, vocabSize)
  const key = (name: string): string => `tokenizer.ggml.${name}`
  const unknown = pieces.findIndex(({ type }) => type === PieceType.unknown)
  const endOfTurn = pieces.findIndex(({ token }) => token === '<end_of_turn>')
  const settings = copies.get('tokenizer_config.json')
  const template = settings && (parseJson('tokenizer_config.json', settings) as { chat_template?: unknown })
  const entries: [string, GgufEntry][] = [
    [key('model'), 'llama'],
    [key('tokens'), { strings: pieces.map(({ token }) => token) }],
    [key('scores'), { float32s: pieces.map(({ score }) => score) }],
    [key('token_type'), { int32s: pieces.map(({ type }) => type) }],
    [key('bos_token_id'), { uint32: bosId }],
    [key('eos_token_id'), { uint32: eosIds[0] ?? 1 }],
    [key('add_bos_token'), true],
    [key('add_space_prefix'), false],
  ]
  if (unknown >= 0) entries.push([key('unknown_token_id'), { uint32: unknown }])
  if (endOfTurn >= 0) entries.push([key('eot_token_id'), { uint32: endOfTurn }])
  if (typeof template?.chat_template === 'string') {
    entries.push(['tokenizer.chat_template', template.chat_template])
  }
  return entries
}

async function writeSafetensors(
  file: HashedFile,
  input: ConvertInput,
  options: ExportOptions,
): Promise<void> {
  const { checkpoint } = input
  const parts = partsIn(input)
  const own = checkpoint.tensors.get('model.embed_tokens.weight')!
  const plain = /^(?:bf16|f16|f32)$/i.test(own.storedDtype)
  const dtype = options.dtype ?? (plain ? own.dtype! : 'bf16')
  const header: Record<string, object> = { __metadata__: { format: 'pt' } }
  let at = 0
  for (const { name, shape } of parts) {
    const end = at + countOf(shape) * DTYPE_BYTES[dtype]
    header[name] = { dtype: dtype.toUpperCase(), shape, data_offsets: [at, end] }
    at = end
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const padded = Math.ceil(text.length / 8) * 8
  const head = new Uint8Array(8 + padded).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true)
  head.set(text, 8)
  await file.append(head)
  await eachRange(
    parts,
    options,
    async ({ name, norm }, start, end) => {
      const weights = await checkpoint.read(name, start, end)
      const hf = norm && checkpoint.normsHoldOne ? weights.map((weight) => weight - 1) : weights
      await file.append(toDtype(hf, dtype))
    },
    async () => {},
  )
}

function toDtype(weights: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === 'f32') return toBytes(weights)
  return toBytes(Uint16Array.from(weights, dtype === 'bf16' ? toBfloat16 : toFloat16))
}

function toBytes({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
