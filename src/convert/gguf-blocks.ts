/**
 * The block formats of GGUF tensors, decoded to float32 (ggml-quants.c and ggml-common.h of llama.cpp
 * define them).
 */
import { toBfloat16, toFloat32 } from '../gemma/dtype.ts'
import type { QuantizedBlocks } from './quantize.ts'

export type BlockType = 'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q8_0' | 'Q4_K' | 'Q6_K'

interface BlockFormat {
  /** Weights of one block. */
  readonly elements: number
  readonly bytes: number
  /** Decodes whole blocks. */
  readonly decode: (bytes: Uint8Array) => Float32Array
}

export const BLOCK_TYPES: Readonly<Record<BlockType, BlockFormat>> = {
  F32: { elements: 1, bytes: 4, decode: (bytes) => toFloat32(bytes, 'f32') },
  F16: { elements: 1, bytes: 2, decode: (bytes) => toFloat32(bytes, 'f16') },
  BF16: { elements: 1, bytes: 2, decode: (bytes) => toFloat32(bytes, 'bf16') },
  Q4_0: { elements: 32, bytes: 18, decode: decodeQ40 },
  Q8_0: { elements: 32, bytes: 34, decode: decodeQ80 },
  Q4_K: { elements: 256, bytes: 144, decode: decodeQ4K },
  Q6_K: { elements: 256, bytes: 210, decode: decodeQ6K },
}

/** half d, then 16 bytes: the low halves are weights 0 to 15, the high ones 16 to 31. w = d * (q - 8). */
function decodeQ40(bytes: Uint8Array): Float32Array {
  return decode(bytes, BLOCK_TYPES.Q4_0, (at, out, to) => {
    const d = halfAt(bytes, at)
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i]!
      out[to + i] = d * ((pair & 15) - 8)
      out[to + 16 + i] = d * ((pair >> 4) - 8)
    }
  })
}

/** half d, then 32 signed bytes. w = d * q. */
function decodeQ80(bytes: Uint8Array): Float32Array {
  return decode(bytes, BLOCK_TYPES.Q8_0, (at, out, to) => {
    const d = halfAt(bytes, at)
    for (let i = 0; i < 32; i++) out[to + i] = d * signed(bytes[at + 2 + i]!)
  })
}

/**
 * half d, half dmin, 12 bytes of eight 6-bit scales and eight 6-bit minimums, 128 bytes of codes.
 * w = d * scale * q - dmin * minimum.
 */
function decodeQ4K(bytes: Uint8Array): Float32Array {
  return decode(bytes, BLOCK_TYPES.Q4_K, (at, out, to) => {
    const d = halfAt(bytes, at)
    const dmin = halfAt(bytes, at + 2)
    const six = (i: number): readonly [scale: number, minimum: number] => {
      const byte = (index: number): number => bytes[at + 4 + index]!
      if (i < 4) return [byte(i) & 63, byte(i + 4) & 63]
      return [(byte(i + 4) & 15) | ((byte(i - 4) >> 6) << 4), (byte(i + 4) >> 4) | ((byte(i) >> 6) << 4)]
    }
    for (let group = 0; group < 8; group++) {
      const [scale, minimum] = six(group)
      const factor = Math.fround(d * scale)
      const offset = Math.fround(dmin * minimum)
      const codes = at + 16 + (group >> 1) * 32
      const shift = (group & 1) * 4
      for (let i = 0; i < 32; i++) {
        out[to + group * 32 + i] = factor * ((bytes[codes + i]! >> shift) & 15) - offset
      }
    }
  })
}

/** 128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales, half d. w = d * scale * (q - 32). */
function decodeQ6K(bytes: Uint8Array): Float32Array {
  return decode(bytes, BLOCK_TYPES.Q6_K, (at, out, to) => {
    const d = halfAt(bytes, at + 208)
    for (let i = 0; i < 256; i++) {
      // Each half of 128 weights has its own 64 + 32 bytes, in four runs of 32.
      const half = i >> 7
      const run = (i >> 5) & 3
      const lane = i & 31
      const low = (bytes[at + half * 64 + (run & 1) * 32 + lane]! >> ((run >> 1) * 4)) & 15
      const high = (bytes[at + 128 + half * 32 + lane]! >> (run * 2)) & 3
      const scale = signed(bytes[at + 192 + half * 8 + run * 2 + (lane >> 4)]!)
      out[to + i] = Math.fround(d * scale) * ((low | (high << 4)) - 32)
    }
  })
}

/** Q4_0 and Q8_0 as blocks of ours: the very codes, with the scale rounded from half to bfloat16. */
export function toBlocks(bytes: Uint8Array, type: 'Q4_0' | 'Q8_0'): QuantizedBlocks {
  const { bytes: size } = BLOCK_TYPES[type]
  const blocks = bytes.length / size
  const codes = new Uint8Array(blocks * (size - 2))
  const scales = new Uint16Array(blocks)
  for (let block = 0; block < blocks; block++) {
    const at = block * size
    scales[block] = toBfloat16(halfAt(bytes, at))
    if (type === 'Q8_0') {
      for (let i = 0; i < 32; i++) codes[block * 32 + i] = bytes[at + 2 + i]! ^ 0x80
      continue
    }
    for (let i = 0; i < 16; i++) {
      const shift = i < 8 ? 0 : 4
      const pair = at + 2 + 2 * (i & 7)
      codes[block * 16 + i] = ((bytes[pair]! >> shift) & 15) | (((bytes[pair + 1]! >> shift) & 15) << 4)
    }
  }
  return { codes, scales }
}

function decode(
  bytes: Uint8Array,
  { elements, bytes: size }: BlockFormat,
  block: (at: number, out: Float32Array, to: number) => void,
): Float32Array {
  const blocks = bytes.length / size
  const out = new Float32Array(blocks * elements)
  for (let index = 0; index < blocks; index++) block(index * size, out, index * elements)
  return out
}

function halfAt(bytes: Uint8Array, at: number): number {
  return HALVES[bytes[at]! | (bytes[at + 1]! << 8)]!
}

function signed(byte: number): number {
  return (byte << 24) >> 24
}

/** Every half by its bits. */
const HALVES: Float32Array = toFloat32(
  new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, bits) => bits).buffer),
  'f16',
)
