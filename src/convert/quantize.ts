/** Symmetric block quantization, in the bytes GatherBlockQuantized and MatMulNBits read. */
import { fromBfloat16, toBfloat16 } from '../gemma/dtype.ts'
import { BLOCK_SIZE } from './layout.ts'

export interface QuantizedBlocks {
  /** int4: two codes a byte, the earlier one in the low half. int8: one. Stored plus 8, or plus 128. */
  readonly codes: Uint8Array<ArrayBuffer>
  /** One bfloat16 a block. */
  readonly scales: Uint16Array<ArrayBuffer>
}

/**
 * Quantizes whole blocks of 32: scale = absmax / 7 (int4) or absmax / 127 (int8) rounded to
 * bfloat16, code = weight / that scale rounded half to even and clamped. A block of zeros has scale 0.
 *
 * @param weights a multiple of 32 finite float32 values, rows after rows
 */
export function quantize(weights: Float32Array, bits: 4 | 8): QuantizedBlocks {
  const zero = 2 ** (bits - 1)
  const most = zero - 1
  const blocks = weights.length / BLOCK_SIZE
  const codes = new Uint8Array((weights.length * bits) / 8)
  const scales = new Uint16Array(blocks)
  for (let block = 0; block < blocks; block++) {
    const start = block * BLOCK_SIZE
    let absmax = 0
    for (let i = start; i < start + BLOCK_SIZE; i++) absmax = Math.max(absmax, Math.abs(weights[i]!))
    const half = toBfloat16(Math.fround(absmax / most))
    const scale = fromBfloat16(half)
    scales[block] = half
    for (let i = start; i < start + BLOCK_SIZE; i++) {
      const exact = scale === 0 ? 0 : Math.fround(weights[i]! / scale)
      const code = Math.min(Math.max(roundHalfToEven(exact), -zero), most) + zero
      if (bits === 8) codes[i] = code
      else codes[i >> 1]! |= i % 2 === 0 ? code : code << 4
    }
  }
  return { codes, scales }
}

/** The weights that the codes stand for: scale * (code - zero), exact in float32. */
export function dequantize({ codes, scales }: QuantizedBlocks, bits: 4 | 8): Float32Array {
  const zero = 2 ** (bits - 1)
  const out = new Float32Array(scales.length * BLOCK_SIZE)
  for (let i = 0; i < out.length; i++) {
    const code = bits === 8 ? codes[i]! : (codes[i >> 1]! >> ((i & 1) * 4)) & 15
    out[i] = fromBfloat16(scales[Math.floor(i / BLOCK_SIZE)]!) * (code - zero)
  }
  return out
}

/** At this size a double has no room for fractions, and addition rounds half to even. */
const NO_FRACTION = 1.5 * 2 ** 52

function roundHalfToEven(value: number): number {
  return value + NO_FRACTION - NO_FRACTION
}
