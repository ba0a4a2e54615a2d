/** Byte-pair merging: the best-ranked neighbours become one token until none are left. */

/** Which neighbours merge. */
export interface Merges {
  /**
   * The index of a merge, or -1. Symbols are ids, or vocabSize + code point for characters that the
   * vocabulary lacks: SentencePiece merges those too (Gemma has two tabs as a piece, but no single one).
   */
  find(left: number, right: number): number
  /** By index: lower merges first; of equals, the leftmost. */
  readonly ranks: Int32Array
  /** By index: the id that the two become. */
  readonly results: Int32Array
}

/**
 * Merges a row of symbols as far as it goes. A heap over (rank, position) and a linked list: O(n log n),
 * however repetitive the text is.
 */
export function mergePairs(row: readonly number[], merges: Merges): number[] {
  const length = row.length
  if (length < 2) return [...row]
  const symbols = Int32Array.from(row)
  const next = new Int32Array(length)
  const previous = new Int32Array(length)
  // By position: the merge that waits for this symbol and its next, or -1. What the heap holds beyond is stale.
  const waiting = new Int32Array(length)
  const heap = new KeyHeap(3 * length)
  const look = (at: number): void => {
    const index = next[at]! < length ? merges.find(symbols[at]!, symbols[next[at]!]!) : -1
    waiting[at] = index
    if (index >= 0) heap.push(merges.ranks[index]! * length + at)
  }
  for (let at = 0; at < length; at++) {
    next[at] = at + 1
    previous[at] = at - 1
  }
  for (let at = 0; at < length; at++) look(at)
  while (heap.size > 0) {
    const key = heap.pop()
    const at = key % length
    const index = waiting[at]!
    if (index < 0 || merges.ranks[index] !== (key - at) / length) continue
    const gone = next[at]!
    symbols[at] = merges.results[index]!
    waiting[gone] = -1
    next[at] = next[gone]!
    if (next[at]! < length) previous[next[at]!] = at
    look(at)
    if (previous[at]! >= 0) look(previous[at]!)
  }
  const merged: number[] = []
  for (let at = 0; at < length; at = next[at]!) merged.push(symbols[at]!)
  return merged
}

/** A binary min-heap of numbers with a fixed capacity: every merge adds at most two to the first n. */
class KeyHeap {
  size = 0
  readonly #keys: Float64Array

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity)
  }

  push(key: number): void {
    const keys = this.#keys
    let at = this.size++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (keys[parent]! <= key) break
      keys[at] = keys[parent]!
      at = parent
    }
    keys[at] = key
  }

  pop(): number {
    const keys = this.#keys
    const top = keys[0]!
    const key = keys[--this.size]!
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= this.size) break
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++
      if (keys[child]! >= key) break
      keys[at] = keys[child]!
      at = child
    }
    keys[at] = key
    return top
  }
}
