/** A model as one GGUF file, for llama.cpp. */
import { FacetError } from '../errors.ts'
import { PieceType } from '../gemma/sentencepiece.ts'
import type { Checkpoint } from './checkpoint.ts'
import { parseJson } from './checkpoint-files.ts'
import {
  type ExportOptions,
  eachRange,
  type GgufWeights,
  type Part,
  partsIn,
  toBytes,
} from './export-parts.ts'
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
import type { ConvertInput } from './input.ts'
import { BITS } from './layout.ts'
import type { HashedFile } from './output.ts'

/** @throws FacetError tokenizer_missing, unsupported when rows cannot be cut into whole blocks */
export async function writeGguf(
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
