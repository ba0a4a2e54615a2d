/** Writes a Gemma of random Q4_0 weights as GGUF, the file llama.cpp reads. */
import { closeSync, openSync, renameSync, writeSync } from 'node:fs'
import type { GemmaConfig } from '../src/gemma/config.ts'

/** Tensor types of GGUF: 32-bit floats, and blocks of 32 four-bit weights with a 16-bit scale. */
const F32 = 0
const Q4_0 = 2
const BLOCK = 32
const BLOCK_BYTES = 18
const ALIGNMENT = 32
/** Root mean square of a code from -8 to 7. */
const CODE_SIZE = Math.sqrt(21.5)

/** Value types of GGUF's key-value pairs. */
const UINT32 = 4
const INT32 = 5
const FLOAT32 = 6
const STRING = 8
const ARRAY = 9

interface GgufTensor {
  readonly name: string
  /** Innermost first. */
  readonly dims: readonly number[]
  readonly type: typeof F32 | typeof Q4_0
}

/** The vocabulary is control tokens, bytes, printable characters, then words that nothing merges to. */
export function writeGguf(path: string, config: GemmaConfig): void {
  const tensors = tensorsOf(config)
  const partial = `${path}.partial`
  const file = openSync(partial, 'w')
  try {
    writeSync(file, header(config, tensors))
    for (const { dims, type } of tensors) {
      const bytes = tensorBytes({ dims, type })
      const unit = type === F32 ? ONES : blocks(dims[0]!)
      for (let left = bytes; left > 0; left -= unit.length) {
        writeSync(file, unit, 0, Math.min(left, unit.length))
      }
      writeSync(file, Buffer.alloc(padding(bytes)))
    }
  } finally {
    closeSync(file)
  }
  renameSync(partial, path)
}

function tensorsOf(config: GemmaConfig): GgufTensor[] {
  const { hiddenSize: d, intermediateSize: ff, heads, kvHeads, headDim, vocabSize } = config
  const norm = (name: string): GgufTensor => ({ name, dims: [d], type: F32 })
  const linear = (name: string, into: number, out: number): GgufTensor => ({
    name: `${name}.weight`,
    dims: [into, out],
    type: Q4_0,
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

function tensorBytes({ dims, type }: Omit<GgufTensor, 'name'>): number {
  const elements = dims.reduce((product, size) => product * size, 1)
  return type === F32 ? elements * 4 : (elements / BLOCK) * BLOCK_BYTES
}

function padding(bytes: number): number {
  return (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT
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

/** Positive numbers that are neither tiny nor huge: truncated. */
function toFloat16(value: number): number {
  const exponent = Math.floor(Math.log2(value))
  return ((exponent + 15) << 10) | Math.floor((value / 2 ** exponent - 1) * 1024)
}

function header(config: GemmaConfig, tensors: readonly GgufTensor[]): Buffer {
  const { vocabSize } = config
  const words = vocabulary(vocabSize)
  const pairs: readonly (readonly [key: string, type: number, ...value: Buffer[]])[] = [
    ['general.architecture', STRING, string('gemma')],
    ['general.name', STRING, string('random weights')],
    ['general.file_type', UINT32, uint32(Q4_0)],
    ['gemma.context_length', UINT32, uint32(config.contextTokens)],
    ['gemma.embedding_length', UINT32, uint32(config.hiddenSize)],
    ['gemma.block_count', UINT32, uint32(config.layers.length)],
    ['gemma.feed_forward_length', UINT32, uint32(config.intermediateSize)],
    ['gemma.attention.head_count', UINT32, uint32(config.heads)],
    ['gemma.attention.head_count_kv', UINT32, uint32(config.kvHeads)],
    ['gemma.attention.key_length', UINT32, uint32(config.headDim)],
    ['gemma.attention.value_length', UINT32, uint32(config.headDim)],
    ['gemma.attention.layer_norm_rms_epsilon', FLOAT32, floats([config.rmsNormEps])],
    ['tokenizer.ggml.model', STRING, string('llama')],
    ['tokenizer.ggml.tokens', ARRAY, uint32(STRING), uint64(vocabSize), ...words.map(string)],
    ['tokenizer.ggml.scores', ARRAY, uint32(FLOAT32), uint64(vocabSize), floats(words.map((_, i) => -i))],
    ['tokenizer.ggml.token_type', ARRAY, uint32(INT32), uint64(vocabSize), ...words.map((_, i) => kindOf(i))],
    ['tokenizer.ggml.bos_token_id', UINT32, uint32(config.bosId)],
    ['tokenizer.ggml.eos_token_id', UINT32, uint32(1)],
    ['tokenizer.ggml.unknown_token_id', UINT32, uint32(3)],
  ]
  let offset = 0
  const infos = tensors.map(({ name, dims, type }) => {
    const info = [string(name), uint32(dims.length), ...dims.map(uint64), uint32(type), uint64(offset)]
    const bytes = tensorBytes({ dims, type })
    offset += bytes + padding(bytes)
    return info
  })
  const whole = Buffer.concat([
    Buffer.from('GGUF'),
    uint32(3),
    uint64(tensors.length),
    uint64(pairs.length),
    ...pairs.flatMap(([key, type, ...value]) => [string(key), uint32(type), ...value]),
    ...infos.flat(),
  ])
  return Buffer.concat([whole, Buffer.alloc(padding(whole.length))])
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
function kindOf(id: number): Buffer {
  return uint32(id < CONTROL.length ? 3 : id < CONTROL.length + BYTES ? 6 : 1)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function floats(values: readonly number[]): Buffer {
  return Buffer.from(Float32Array.from(values).buffer)
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([uint64(bytes.length), bytes])
}
