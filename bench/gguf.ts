/** Writes a Gemma of random Q4_0 weights as GGUF, the file llama.cpp reads. */
import { closeSync, openSync, renameSync, writeSync } from 'node:fs'
import { BLOCK_TYPES } from '../src/convert/gguf-blocks.ts'
import { toMetadata } from '../src/convert/gguf-names.ts'
import {
  encodeGgufHeader,
  FILE_TYPES,
  type GgufEntry,
  type GgufPlan,
  paddingAfter,
  tensorBytes,
} from '../src/convert/gguf-writer.ts'
import type { GemmaConfig } from '../src/gemma/config.ts'
import { toFloat16 } from '../src/gemma/dtype.ts'

const BLOCK_BYTES = BLOCK_TYPES.Q4_0.bytes
/** Root mean square of a code from -8 to 7. */
const CODE_SIZE = Math.sqrt(21.5)

/** The vocabulary is control tokens, bytes, printable characters, then words that nothing merges to. */
export function writeGguf(path: string, config: GemmaConfig): void {
  const tensors = tensorsOf(config)
  const partial = `${path}.partial`
  const file = openSync(partial, 'w')
  try {
    writeSync(file, header(config, tensors))
    for (const { dims, type } of tensors) {
      const bytes = tensorBytes({ dims, type })
      const unit = type === 'F32' ? ONES : blocks(dims[0]!)
      for (let left = bytes; left > 0; left -= unit.length) {
        writeSync(file, unit, 0, Math.min(left, unit.length))
      }
      writeSync(file, Buffer.alloc(paddingAfter(bytes)))
    }
  } finally {
    closeSync(file)
  }
  renameSync(partial, path)
}

function tensorsOf(config: GemmaConfig): GgufPlan[] {
  const { hiddenSize: d, intermediateSize: ff, heads, kvHeads, headDim, vocabSize } = config
  const norm = (name: string): GgufPlan => ({ name, dims: [d], type: 'F32' })
  const linear = (name: string, into: number, out: number): GgufPlan => ({
    name: `${name}.weight`,
    dims: [into, out],
    type: 'Q4_0',
  })
  return [
    linear('token_embd', d, vocabSize),
    norm('output_norm.weight'),
    ...config.layers.flatMap((_, layer) => {
      const block = `blk.${layer}`
      return [
        norm(`${block}.attn_norm.weight`),
        linear(`${block}.attn_q`, d, heads * headDim),
        linear(`${block}.attn_k`, d, kvHeads * headDim),
        linear(`${block}.attn_v`, d, kvHeads * headDim),
        linear(`${block}.attn_output`, heads * headDim, d),
        norm(`${block}.ffn_norm.weight`),
        linear(`${block}.ffn_gate`, d, ff),
        linear(`${block}.ffn_up`, d, ff),
        linear(`${block}.ffn_down`, ff, d),
      ]
    }),
  ]
}

const ONES: Buffer = Buffer.from(new Float32Array(64 * 1024).fill(1).buffer)

const BLOCKS = 1024 * 1024
const made = new Map<number, Buffer>()

/** A million random blocks for rows of `columns`, with which products of unit inputs are about one. */
function blocks(columns: number): Buffer {
  const known = made.get(columns)
  if (known) return known
  const bytes = Buffer.alloc(BLOCKS * BLOCK_BYTES)
  const words = new Uint32Array(bytes.buffer, 0, bytes.length / 4)
  let state = columns
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  const scale = toFloat16(1 / (CODE_SIZE * Math.sqrt(columns)))
  for (let block = 0; block < BLOCKS; block++) {
    // The low bits of the fraction vary, so that no two neighbours share a scale.
    bytes.writeUInt16LE(scale ^ (block & 127), block * BLOCK_BYTES)
  }
  made.set(columns, bytes)
  return bytes
}

function header(config: GemmaConfig, tensors: readonly GgufPlan[]): Uint8Array {
  const words = vocabulary(config.vocabSize)
  const metadata = new Map<string, GgufEntry>([
    ...toMetadata(config, 'random weights'),
    ['general.file_type', { uint32: FILE_TYPES.Q4_0 }],
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', { strings: words }],
    ['tokenizer.ggml.scores', { float32s: words.map((_, i) => -i) }],
    ['tokenizer.ggml.token_type', { int32s: words.map((_, i) => kindOf(i)) }],
    ['tokenizer.ggml.bos_token_id', { uint32: config.bosId }],
    ['tokenizer.ggml.eos_token_id', { uint32: 1 }],
    ['tokenizer.ggml.unknown_token_id', { uint32: 3 }],
  ])
  return encodeGgufHeader(metadata, tensors)
}

const BYTES = 256
const CONTROL = ['<pad>', '<eos>', '<bos>', '<unk>']

function vocabulary(size: number): string[] {
  const words = [...CONTROL]
  for (let i = 0; i < BYTES; i++) words.push(`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  words.push('▁')
  for (let code = 33; code < 127; code++) words.push(String.fromCharCode(code))
  while (words.length < size) words.push(`▁t${words.length}`)
  return words
}

/** Control, byte, normal. */
function kindOf(id: number): number {
  return id < CONTROL.length ? 3 : id < CONTROL.length + BYTES ? 6 : 1
}
