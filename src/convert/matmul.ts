/** Products of activations with rows of a matrix, on WebAssembly: what converting and comparing spend their time on. */
import { prepare } from './kernels.ts'

/** Of x at a time, beside the rows of W and their products. */
const MOST_BYTES = 4 * 1024 * 1024

/**
 * x (n, k) @ W (m, k)^T -> (n, m). Sums are taken in float32, four at a time.
 *
 * @param k a multiple of 4
 */
export function multiply(x: Float32Array, w: Float32Array, k: number): Float32Array {
  const n = x.length / k
  const m = w.length / k
  const y = new Float32Array(n * m)
  // The kernel takes whole fours of rows and pairs of tokens; what is beyond is computed and left.
  const rows = Math.ceil(m / 4) * 4
  const most = Math.max(2, Math.floor(MOST_BYTES / 4 / k / 2) * 2)
  const step = Math.min(most, Math.ceil(n / 2) * 2)
  const [atX, atY] = [rows * k, (rows + step) * k]
  const { buffer, kernels } = prepare((atY + step * rows) * 4)
  const floats = new Float32Array(buffer)
  floats.set(w)
  for (let at = 0; at < n; at += step) {
    const count = Math.min(step, n - at)
    floats.set(x.subarray(at * k, (at + count) * k), atX)
    kernels.multiply(atX * 4, 0, atY * 4, Math.ceil(count / 2) * 2, k, rows)
    for (let i = 0; i < count; i++) {
      const from = atY + i * rows
      y.set(floats.subarray(from, from + m), (at + i) * m)
    }
  }
  return y
}
