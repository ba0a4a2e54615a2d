/** How well a graph agrees with the reference that does the same arithmetic; runs in Node and in a page. */
import type { Graph, KvCache } from '../../src/engine/graph.ts'
import { dataEntry, type OpenedModel } from '../../src/engine/model-file.ts'
import { readEntry } from '../../src/engine/model-files.ts'
import { dequantizedWeights } from '../../src/engine/tensors.ts'
import type { GemmaConfig } from '../../src/gemma/config.ts'
import type { Weights } from '../../src/gemma/weights.ts'

/** What createReference takes. */
export interface ReferenceParts {
  readonly config: GemmaConfig
  readonly weights: Weights
}

/** The same quantized weights in float32. */
export async function referenceParts(model: Omit<OpenedModel, 'tokenizer'>): Promise<ReferenceParts> {
  const { files, manifest, config, graph, reading } = model
  const data = await readEntry(files, dataEntry(model), reading)
  const stored = dequantizedWeights({ manifest, config, graph, data })
  const known = new Map<string, Float32Array>()
  const tensor = (name: string): Float32Array => {
    const values = known.get(name) ?? stored.tensor(name)
    known.set(name, values)
    return values
  }
  return { config, weights: { tensor } }
}

/** Cosines between the rows of a and b, (rows, columns) each. */
export function cosines(a: Float32Array, b: Float32Array, columns: number): number[] {
  return Array.from({ length: a.length / columns }, (_, row) => {
    let [ab, aa, bb] = [0, 0, 0]
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      ab += a[i]! * b[i]!
      aa += a[i]! * a[i]!
      bb += b[i]! * b[i]!
    }
    return ab / Math.sqrt(aa * bb)
  })
}

/** Ids that start with bos and do not repeat soon. */
export const idsBelow = (vocab: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i === 0 ? 2 : (7919 * i + 13 * i * i) % vocab))

/** Tokens for each sequence, step by step: prompts, a single token, several sequences, and both at once. */
export function mixedSteps(vocabSize: number): (readonly number[][])[] {
  const tokens = idsBelow(vocabSize, 90)
  return [[tokens.slice(0, 85), tokens.slice(20, 40)], [[7]], [[8], [9], [10]], [[11], tokens.slice(3, 6)]]
}

/** The same steps on both; every row of logits compared. Returns the least cosine. */
export async function agreement(
  graph: Graph,
  reference: Graph,
  steps: readonly (readonly number[][])[],
): Promise<number> {
  const caches = new Map<number, [KvCache, KvCache]>()
  const all: number[] = []
  for (const step of steps) {
    const slices = step.map((tokens, i) => {
      const pair = caches.get(i) ?? [graph.open(128), reference.open(128)]
      caches.set(i, pair)
      return { pair, tokens, logits: tokens.length }
    })
    const [ours, exact] = await Promise.all(
      [graph, reference].map((each, side) =>
        each.step(slices.map(({ pair, tokens, logits }) => ({ cache: pair[side]!, tokens, logits }))),
      ),
    )
    for (const [i, rows] of ours!.entries()) all.push(...cosines(rows, exact![i]!, graph.config.vocabSize))
  }
  for (const pair of caches.values()) for (const cache of pair) cache.dispose()
  return Math.min(...all)
}
