/** Compares quantizing kernels with the reference although both round, and float32 sums differ in last bits. */
import { createReference, type ReferenceOptions } from '../../../src/engine/reference.ts'
import type { Lora } from '../../../src/gemma/lora.ts'
import { cosines, type ReferenceParts } from '../agreement.ts'

/** Codes this close to half way may be rounded either way: float32 sums, times 127, are no better. */
const TIE = 5e-4
/** Only float32's own error is left: about 4e-5 of the logits. */
const SAME = 1 - 1e-9
/** Steps at one position before it is taken as it is. */
const MOST_TRIES = 300

/** Ties to round the other way, by their order in a step, and how far they are from half way together. */
interface Flips {
  readonly ties: readonly number[]
  readonly distance: number
}

/**
 * Cosines, position by position, of a graph's logits with those of the reference, which rounds as the
 * graph does wherever the code is a tie but for float32's last bits.
 *
 * An activation whose code is 41.49999 in one order of summation and 41.50001 in another differs by a whole
 * step after rounding, and everything after it a little, which tips other codes: the reference itself,
 * perturbed in its last bits, is as far from itself as it is from float32 activations. So where a position
 * disagrees, ties among its codes are rounded the other way, the nearest first, until it agrees.
 */
export async function cosinesUpToTies(
  logits: Float32Array,
  tokens: readonly number[],
  parts: ReferenceParts,
  options: ReferenceOptions,
  lora?: Lora,
): Promise<number[]> {
  return (await nearestReference(logits, tokens, parts, options, lora)).map(({ cosine }) => cosine)
}

/** The reference at one position. */
export interface NearestReference {
  readonly logits: Float32Array
  /** With those of the graph. */
  readonly cosine: number
}

/** The same with the reference's logits. */
export async function nearestReference(
  logits: Float32Array,
  tokens: readonly number[],
  { config, weights }: ReferenceParts,
  options: ReferenceOptions,
  lora?: Lora,
): Promise<NearestReference[]> {
  let flipped: readonly number[] = []
  let distances: number[] = []
  const round = (code: number): number => {
    const below = Math.floor(code)
    const fraction = code - below
    const distance = Math.abs(fraction - 0.5)
    if (distance > TIE) return fraction < 0.5 ? below : below + 1
    const up = fraction > 0.5 || (fraction === 0.5 && below % 2 !== 0)
    const flip = flipped.includes(distances.push(distance) - 1)
    return up === flip ? below : below + 1
  }
  const graph = createReference(config, weights, { ...options, round })
  const cache = graph.open(tokens.length)
  cache.use!(lora && (await graph.adapt!(lora)))
  const attempt = async (position: number, { ties }: Flips): Promise<NearestReference> => {
    cache.truncate(position)
    flipped = ties
    distances = []
    const [expected] = await graph.step([{ cache, tokens: [tokens[position]!] }])
    const row = logits.subarray(position * config.vocabSize, (position + 1) * config.vocabSize)
    return { logits: expected!, cosine: cosines(row, expected!, config.vocabSize)[0]! }
  }
  const found: NearestReference[] = []
  for (let position = 0; position < tokens.length; position++) {
    const queue: Flips[] = [{ ties: [], distance: 0 }]
    let best: { near: NearestReference; flips: Flips } | undefined
    for (
      let tries = 0;
      tries < MOST_TRIES && queue.length > 0 && !(best && best.near.cosine >= SAME);
      tries++
    ) {
      queue.sort((a, b) => b.distance - a.distance)
      const flips = queue.pop()!
      const near = await attempt(position, flips)
      if (!best || near.cosine > best.near.cosine) best = { near, flips }
      for (const [tie, distance] of distances.entries()) {
        if (tie <= (flips.ties.at(-1) ?? -1)) continue
        queue.push({ ties: [...flips.ties, tie], distance: flips.distance + distance })
      }
    }
    if (flipped !== best!.flips.ties) await attempt(position, best!.flips)
    found.push(best!.near)
  }
  return found
}
