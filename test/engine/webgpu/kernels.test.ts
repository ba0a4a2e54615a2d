import { afterAll, describe, expect, it } from 'vitest'
import type { Graph, KvCache } from '../../../src/engine/graph.ts'
import { createReference } from '../../../src/engine/reference.ts'
import { createWebGpuGraph, type WebGpuOptions } from '../../../src/engine/webgpu/graph.ts'
import { goldenPrompts, greedy } from '../golden.ts'
import {
  cosines,
  FIXTURES,
  quantizedFixture,
  referenceParts,
  shippedModel,
  type TestModel,
} from '../wasm/models.ts'

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }

const open: Graph[] = []
afterAll(() => Promise.all(open.splice(0).map((graph) => graph.dispose())))

async function gpuGraph(model: TestModel, options: Partial<WebGpuOptions> = {}): Promise<Graph> {
  const graph = await createWebGpuGraph({
    model,
    sequences: 3,
    contextTokens: Math.min(256, model.config.contextTokens),
    tuning: { lanes: 32, rows: { 1: 2, 4: 2 }, ahead: false },
    ...options,
  })
  open.push(graph)
  return graph
}

/** Ids that start with bos and do not repeat soon. */
const idsBelow = (vocab: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i === 0 ? 2 : (7919 * i + 13 * i * i) % vocab))

const least = (values: readonly number[]): number => Math.min(...values)

/** The same steps on both; every row of logits compared. */
async function agreement(
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
  return least(all)
}

// Together: multi-query and multi-head attention, windows, both soft-caps, post-norms, norms of queries and
// keys, two rotary bases; 90 positions: two chunks of attention and two splits.
describe.each([
  ['gemma-mqa', 'int8', {}],
  ['gemma-mha', 'int4', { plain: true }],
  ['gemma2', 'int4', { bindingBytes: 600_000 }],
  ['gemma3', 'int4', {}],
] as const)('the kernels on %s in %s', (name, quant, options) => {
  it('compute what the reference computes: prompts, single tokens, several sequences', SLOW, async () => {
    expect(FIXTURES).toContain(name)
    const model = await quantizedFixture(name, quant)
    const { config, weights } = await referenceParts(model)
    const graph = await gpuGraph(model, options)
    const tokens = idsBelow(config.vocabSize, 90)
    const found = await agreement(graph, createReference(config, weights), [
      [tokens.slice(0, 85), tokens.slice(20, 40)],
      [[7]],
      [[8], [9], [10]],
      [[11], tokens.slice(3, 6)],
    ])
    expect(found).toBeGreaterThan(0.9999)
  })
})

describe('the kernels on the shipped model', () => {
  it("give transformers' greedy ids, and the same bits alone as in company", SLOW, async () => {
    const graph = await gpuGraph(await shippedModel())
    const prompts = goldenPrompts.slice(0, 2).map(({ input_ids }) => ({ ids: input_ids, length: 3 }))
    const together = await greedy(graph, prompts)
    for (const [i, { greedy_ids_int4 }] of goldenPrompts.slice(0, 2).entries()) {
      expect(together[i]!.ids).toEqual(greedy_ids_int4.slice(0, 3))
    }
    const [alone] = await greedy(graph, [prompts[1]!])
    expect(alone).toEqual(together[1])
  })
})
