/**
 * Rounds a matrix so that its products with given inputs change least: GPTQ (Frantar et al. 2022), block by
 * block. Every weight's error is made up for by the weights of its row that are not rounded yet.
 */
import { fromBfloat16 } from '../gemma/dtype.ts'
import type { BlockSize } from './layout.ts'
import { multiply } from './matmul.ts'
import { leastError, putCode, type QuantizedBlocks, roundTo } from './quantize.ts'

/** Columns whose errors are weighed together: what a laptop factors in seconds, and most of what there is to gain. */
const MOST_COLUMNS = 1024
/** A little, as inputs that were not seen may still come. */
const DAMPING = 0.01

/** What rounding has to know of a matrix's inputs. */
export interface InputFactors {
  readonly columns: number
  /** For columns from `first` on the upper U (size, size), row-major, with U^T U = (X^T X)^-1. */
  readonly parts: readonly { readonly first: number; readonly size: number; readonly upper: Float64Array }[]
  /** 1 / U_jj^2 of each column: what an error there costs once later columns have made up for it. */
  readonly importance: Float64Array
}

/**
 * @param x (n, columns), the inputs the matrix will be multiplied with
 * @param damping the share of the inputs' mean square that is added to each: the larger, the nearer every weight
 *   stays to what it was, whatever the inputs
 */
export function inputFactors(
  x: Float32Array,
  columns: number,
  blockSize: BlockSize,
  damping: number = DAMPING,
): InputFactors {
  const count = Math.ceil(columns / MOST_COLUMNS)
  const most = Math.ceil(columns / count / blockSize) * blockSize
  const importance = new Float64Array(columns)
  const parts = []
  for (let first = 0; first < columns; first += most) {
    const size = Math.min(most, columns - first)
    const upper = invertAndFactor(innerProducts(x, columns, first, size, damping), size)
    for (let j = 0; j < size; j++) importance[first + j] = upper[j * size + j]! ** -2
    parts.push({ first, size, upper })
  }
  return { columns, parts, importance }
}

/** @param weights whole rows of a matrix, which are overwritten */
export function quantizeFor(
  { columns, parts, importance }: InputFactors,
  weights: Float32Array,
  bits: 4 | 8,
  blockSize: BlockSize,
): QuantizedBlocks {
  const codes = new Uint8Array((weights.length * bits) / 8)
  const scales = new Uint16Array(weights.length / blockSize)
  const zero = 2 ** (bits - 1)
  const rows = weights.length / columns
  for (const { first, size, upper } of parts) {
    for (let start = 0; start < size; start += blockSize) {
      const errors = new Float32Array(rows * blockSize)
      for (let row = 0; row < rows; row++) {
        const column = first + start
        const at = row * columns + column
        const half = leastError(weights, at, blockSize, bits, importance, column)
        const scale = fromBfloat16(half)
        scales[at / blockSize] = half
        for (let j = 0; j < blockSize; j++) {
          const u = (start + j) * size + start
          const code = roundTo(weights[at + j]!, scale, zero)
          putCode(codes, at + j, code, bits)
          const error = (weights[at + j]! - code * scale) / upper[u + j]!
          for (let i = j + 1; i < blockSize; i++) weights[at + i]! -= error * upper[u + i]!
          errors[row * blockSize + j] = error
        }
      }
      spread(weights, columns, first + start + blockSize, errors, upper, start, blockSize, size)
    }
  }
  return { codes, scales }
}

/** Subtracts errors (rows, block) @ U[start.., start + block..] from the columns from `column` on of W. */
function spread(
  weights: Float32Array,
  columns: number,
  column: number,
  errors: Float32Array,
  upper: Float64Array,
  start: number,
  block: number,
  size: number,
): void {
  const left = size - start - block
  if (left === 0) return
  const factors = new Float32Array(left * block)
  for (let j = 0; j < block; j++) {
    const u = (start + j) * size + start + block
    for (let i = 0; i < left; i++) factors[i * block + j] = upper[u + i]!
  }
  const rows = errors.length / block
  const changes = multiply(errors, factors, block)
  for (let row = 0; row < rows; row++) {
    const at = row * columns + column
    for (let i = 0; i < left; i++) weights[at + i]! -= changes[row * left + i]!
  }
}

/** X^T X (size, size) of the columns from `first` on, damped. */
function innerProducts(
  x: Float32Array,
  columns: number,
  first: number,
  size: number,
  damping: number,
): Float64Array {
  const tokens = x.length / columns
  const padded = Math.ceil(tokens / 4) * 4
  const transposed = new Float32Array(size * padded)
  for (let token = 0; token < tokens; token++) {
    for (let i = 0; i < size; i++) transposed[i * padded + token] = x[token * columns + first + i]!
  }
  const h = Float64Array.from(multiply(transposed, transposed, padded))
  let trace = 0
  for (let i = 0; i < size; i++) trace += h[i * size + i]!
  const added = (damping * trace) / size || 1
  for (let i = 0; i < size; i++) h[i * size + i]! += added
  return h
}

/** Symmetric positive H (size, size), overwritten -> upper U with U^T U = H^-1. */
function invertAndFactor(h: Float64Array, size: number): Float64Array {
  // With the order of rows and columns reversed, H = L L^T gives H^-1 = L^-T L^-1, whose factor is upper
  // in the order as it was: no inverse has to be formed and factored again.
  const lower = new Float64Array(size * size)
  const flip = (i: number): number => size - 1 - i
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = h[flip(i) * size + flip(j)]!
      const [a, b] = [i * size, j * size]
      for (let k = 0; k < j; k++) sum -= lower[a + k]! * lower[b + k]!
      lower[a + j] = i === j ? Math.sqrt(sum) : sum / lower[b + j]!
    }
  }
  return invertLower(lower, size, h)
}

/** L^-1 of the reversed order, back in the first one, into `out`. */
function invertLower(lower: Float64Array, size: number, out: Float64Array): Float64Array {
  out.fill(0)
  const row = new Float64Array(size)
  for (let i = 0; i < size; i++) {
    // Row i of the inverse: (e_i - sum over k < i of L[i, k] inverse[k]) / L[i, i].
    row.fill(0)
    row[i] = 1
    for (let k = 0; k < i; k++) {
      const factor = lower[i * size + k]!
      const from = (size - 1 - k) * size
      for (let j = 0; j <= k; j++) row[j]! -= factor * out[from + size - 1 - j]!
    }
    const to = (size - 1 - i) * size
    for (let j = 0; j <= i; j++) out[to + size - 1 - j] = row[j]! / lower[i * size + i]!
  }
  return out
}
