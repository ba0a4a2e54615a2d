/** Writes GGUF, the file llama.cpp reads: its header, and weights in its block formats. */
import { fromBfloat16, toFloat16 } from '../gemma/dtype.ts'
import { countOf } from './checkpoint.ts'
import { BLOCK_TYPES, type BlockType } from './gguf-blocks.ts'
import { GGUF_ALIGNMENT, GGUF_MAGIC, GgufType } from './gguf-header.ts'
import type { GgufNumber } from './gguf-names.ts'
import type { QuantizedBlocks } from './quantize.ts'

export type GgufEntry =
  | GgufNumber
  | string
  | boolean
  | { readonly strings: readonly string[] }
  | { readonly float32s: readonly number[] }
  | { readonly int32s: readonly number[] }

export interface GgufPlan {
  readonly name: string
  /** Innermost first. */
  readonly dims: readonly number[]
  readonly type: BlockType
}

/** `general.file_type` of llama.cpp, by what most of the tensors are. */
export const FILE_TYPES: Readonly<Record<'F16' | 'Q4_0' | 'Q8_0', number>> = { F16: 1, Q4_0: 2, Q8_0: 7 }

/** What the tensor takes in the file, without the padding after it. */
export function tensorBytes({ dims, type }: Omit<GgufPlan, 'name'>): number {
  const { elements, bytes } = BLOCK_TYPES[type]
  return (countOf(dims) / elements) * bytes
}

/** Zeros that follow so many bytes. */
export function paddingAfter(bytes: number): number {
  return (GGUF_ALIGNMENT - (bytes % GGUF_ALIGNMENT)) % GGUF_ALIGNMENT
}

/** The header with its padding; the tensors follow in this order, each padded. */
export function encodeGgufHeader(
  metadata: ReadonlyMap<string, GgufEntry>,
  tensors: readonly GgufPlan[],
): Uint8Array {
  let offset = 0
  const infos = tensors.map(({ name, dims, type }) => {
    const info = [string(name), uint32(dims.length), ...dims.map(uint64), uint32(TYPES[type]), uint64(offset)]
    const bytes = tensorBytes({ dims, type })
    offset += bytes + paddingAfter(bytes)
    return info
  })
  const whole = Buffer.concat([
    uint32(GGUF_MAGIC),
    uint32(3),
    uint64(tensors.length),
    uint64(metadata.size),
    ...[...metadata].flatMap(([key, entry]) => [string(key), ...encode(entry)]),
    ...infos.flat(),
  ])
  return Buffer.concat([whole, Buffer.alloc(paddingAfter(whole.length))])
}

/** Q4_0 as llama.cpp makes it: the weight of largest size becomes -8 times the scale. */
export function encodeQ40(weights: Float32Array): Uint8Array {
  return encodeBlocks(weights, 'Q4_0', (bytes, at, from) => {
    let extreme = 0
    for (let i = from; i < from + 32; i++) {
      if (Math.abs(weights[i]!) > Math.abs(extreme)) extreme = weights[i]!
    }
    const scale = Math.fround(extreme / -8)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    const code = (i: number): number => Math.min(15, Math.floor(Math.fround(weights[i]! * inverse) + 8.5))
    writeHalf(bytes, at, scale)
    for (let i = 0; i < 16; i++) bytes[at + 2 + i] = code(from + i) | (code(from + 16 + i) << 4)
  })
}

/** Q8_0 as llama.cpp makes it: the weight of largest size becomes 127 times the scale. */
export function encodeQ80(weights: Float32Array): Uint8Array {
  return encodeBlocks(weights, 'Q8_0', (bytes, at, from) => {
    let most = 0
    for (let i = from; i < from + 32; i++) most = Math.max(most, Math.abs(weights[i]!))
    const scale = Math.fround(most / 127)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    writeHalf(bytes, at, scale)
    for (let i = 0; i < 32; i++) {
      const exact = Math.fround(weights[from + i]! * inverse)
      bytes[at + 2 + i] = Math.sign(exact) * Math.floor(Math.abs(exact) + 0.5)
    }
  })
}

export function encodeF16(weights: Float32Array): Uint8Array {
  return new Uint8Array(Uint16Array.from(weights, toFloat16).buffer)
}

/** Blocks of ours as Q4_0 or Q8_0, code by code; the bfloat16 scale is exact as a half, unless it is tiny. */
export function fromBlocks({ codes, scales }: QuantizedBlocks, type: 'Q4_0' | 'Q8_0'): Uint8Array {
  const { bytes: size } = BLOCK_TYPES[type]
  const bytes = new Uint8Array(scales.length * size)
  for (const [block, scale] of scales.entries()) {
    const at = block * size
    writeHalf(bytes, at, fromBfloat16(scale))
    if (type === 'Q8_0') {
      for (let i = 0; i < 32; i++) bytes[at + 2 + i] = codes[block * 32 + i]! ^ 0x80
      continue
    }
    const code = (i: number): number => (codes[block * 16 + (i >> 1)]! >> ((i & 1) * 4)) & 15
    for (let i = 0; i < 16; i++) bytes[at + 2 + i] = code(i) | (code(i + 16) << 4)
  }
  return bytes
}

const TYPES: Readonly<Record<BlockType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q8_0: 8,
  Q4_K: 12,
  Q6_K: 14,
  BF16: 30,
}

function encodeBlocks(
  weights: Float32Array,
  type: 'Q4_0' | 'Q8_0',
  encodeBlock: (bytes: Uint8Array, at: number, from: number) => void,
): Uint8Array {
  const { elements, bytes: size } = BLOCK_TYPES[type]
  const blocks = weights.length / elements
  const bytes = new Uint8Array(blocks * size)
  for (let block = 0; block < blocks; block++) encodeBlock(bytes, block * size, block * elements)
  return bytes
}

function writeHalf(bytes: Uint8Array, at: number, value: number): void {
  const half = toFloat16(value)
  bytes[at] = half & 255
  bytes[at + 1] = half >> 8
}

/** The type, then the value. */
function encode(entry: GgufEntry): Uint8Array[] {
  if (typeof entry === 'string') return [uint32(GgufType.string), string(entry)]
  if (typeof entry === 'boolean') return [uint32(GgufType.bool), Uint8Array.of(Number(entry))]
  if ('uint32' in entry) return [uint32(GgufType.uint32), uint32(entry.uint32)]
  if ('float32' in entry) return [uint32(GgufType.float32), rawBytes(Float32Array.of(entry.float32))]
  const list = (type: number, count: number): Uint8Array[] => [
    uint32(GgufType.array),
    uint32(type),
    uint64(count),
  ]
  if ('strings' in entry) {
    return [...list(GgufType.string, entry.strings.length), ...entry.strings.map(string)]
  }
  if ('float32s' in entry) {
    return [...list(GgufType.float32, entry.float32s.length), rawBytes(Float32Array.from(entry.float32s))]
  }
  return [...list(GgufType.int32, entry.int32s.length), rawBytes(Int32Array.from(entry.int32s))]
}

function rawBytes({ buffer }: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(buffer)
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function string(text: string): Uint8Array {
  const bytes = Buffer.from(text)
  return Buffer.concat([uint64(bytes.length), bytes])
}
