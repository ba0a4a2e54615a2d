/** The largest logits of a vocabulary without sorting all of it. */

/** The id of the largest value; the lowest id of equals. -1 if none is a number above -Infinity. */
export function argmax(logits: Float32Array): number {
  let best = -1
  let max = -Infinity
  for (let id = 0; id < logits.length; id++) {
    if (logits[id]! > max) {
      max = logits[id]!
      best = id
    }
  }
  return best
}

/**
 * The ids of the `count` largest values, largest first, equal values by id. Takes one pass with a heap
 * of `count` entries, so that ten of 256,000 cost little more than reading them.
 */
export function largest(logits: Float32Array, count: number): Int32Array {
  const size = Math.min(count, logits.length)
  const heap = new Int32Array(size) // the worst of the kept at the top
  const worse = (a: number, b: number): boolean =>
    logits[a]! < logits[b]! || (logits[a]! === logits[b]! && a > b)

  const sink = (start: number): void => {
    const id = heap[start]!
    let at = start
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && worse(heap[child + 1]!, heap[child]!)) child++
      if (!worse(heap[child]!, id)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = id
  }

  for (let id = 0; id < size; id++) heap[id] = id
  for (let at = (size >> 1) - 1; at >= 0; at--) sink(at)
  for (let id = size; id < logits.length; id++) {
    // Ids only grow, so that an equal value is never better.
    if (logits[id]! > logits[heap[0]!]!) {
      heap[0] = id
      sink(0)
    }
  }
  return heap.sort((a, b) => logits[b]! - logits[a]! || a - b)
}
