/**
 * The order in which activations lie in GPU memory: the one in which products read them.
 *
 * A lane of a product takes one block of 32 weights of a row. Activations are stored so that the vectors of
 * four that neighbouring lanes need next lie beside each other: vector j of block b is at j * blocks + b. Which
 * four elements vector j holds is their order, and follows from the weights' bytes: with 4 bits, a word's low
 * halves are elements 0, 2, 4, 6 and its high halves 1, 3, 5, 7; with 8 bits a word is four elements in a row.
 * Where a model has both, activations lie as 4 bits want them, and codes of 8 bits are picked to fit.
 */

export type Bits = 4 | 8

/** Weights that a lane takes at a time. As many share a scale, or twice as many. */
export const BLOCK = 32

/**
 * WGSL: `placeOf(i)` is where element i of a row of `columns` activations lies.
 *
 * @param order bits of the weights whose order it is
 */
export function placeFunction(columns: number, order: Bits): string {
  const blocks = `${columns / BLOCK}u`
  const vector = order === 4 ? '((i >> 3u) & 3u) + 4u * (i & 1u)' : '(i >> 2u) & 7u'
  const component = order === 4 ? '(i >> 1u) & 3u' : 'i & 3u'
  return `fn placeOf(i: u32) -> u32 { return ((${vector}) * ${blocks} + (i >> 5u)) * 4u + (${component}); }`
}

/** The same in TypeScript, for a whole row. */
export function placed(row: Float32Array, order: Bits): Float32Array<ArrayBuffer> {
  const blocks = row.length / BLOCK
  const out = new Float32Array(row.length)
  for (const [i, value] of row.entries()) {
    const vector = order === 4 ? ((i >> 3) & 3) + 4 * (i & 1) : (i >> 2) & 7
    const component = order === 4 ? (i >> 1) & 3 : i & 3
    out[(vector * blocks + (i >> 5)) * 4 + component] = value
  }
  return out
}
