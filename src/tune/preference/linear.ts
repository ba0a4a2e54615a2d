/** Small dense linear algebra: systems whose matrix is symmetric and positive definite. */

/** Row by row. */
export type Matrix = readonly (readonly number[])[]

/**
 * Inverse by Cholesky's factors.
 *
 * @param matrix symmetric, (n,n)
 * @returns (n,n); undefined: it is not positive definite
 */
export function inverseOf(matrix: Matrix): number[][] | undefined {
  const size = matrix.length
  const lower: number[][] = matrix.map(() => new Array<number>(size).fill(0)) // L (n,n), L L' = matrix
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let rest = matrix[row]![column]!
      for (let k = 0; k < column; k++) rest -= lower[row]![k]! * lower[column]![k]!
      if (row > column) lower[row]![column] = rest / lower[column]![column]!
      else if (rest > 0) lower[row]![row] = Math.sqrt(rest)
      else return undefined
    }
  }
  const columns = matrix.map((_, unit) => solved(lower, unit))
  return matrix.map((_, row) => columns.map((column) => column[row]!))
}

/** x (n) with L L' x = the unit vector. */
function solved(lower: Matrix, unit: number): number[] {
  const size = lower.length
  const x = Array.from({ length: size }, (_, row) => Number(row === unit))
  for (let row = 0; row < size; row++) {
    for (let k = 0; k < row; k++) x[row]! -= lower[row]![k]! * x[k]!
    x[row]! /= lower[row]![row]!
  }
  for (let row = size - 1; row >= 0; row--) {
    for (let k = row + 1; k < size; k++) x[row]! -= lower[k]![row]! * x[k]!
    x[row]! /= lower[row]![row]!
  }
  return x
}

/** y (n) = matrix (n,n) @ x (n) */
export function product(matrix: Matrix, x: readonly number[]): number[] {
  return matrix.map((row) => row.reduce((sum, value, at) => sum + value * x[at]!, 0))
}
