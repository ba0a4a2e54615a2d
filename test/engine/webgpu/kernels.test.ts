import { afterAll, describe, expect, it } from 'vitest'
import type { Graph } from '../../../src/engine/graph.ts'
import { createReference } from '../../../src/engine/reference.ts'
import { createWebGpuGraph, type WebGpuOptions } from '../../../src/engine/webgpu/graph.ts'
import { agreement, mixedSteps, referenceParts } from '../agreement.ts'
import { goldenPrompts, greedy } from '../golden.ts'
import { FIXTURES, quantizedFixture, shippedModel, type TestModel } from '../wasm/models.ts'

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }

const open: Graph[] = []
afterAll(() => Promise.all(open.splice(0).map((graph) => graph.dispose())))

async function gpuGraph(model: TestModel, options: Partial<WebGpuOptions> = {}): Promise<Graph> {
  const graph = await createWebGpuGraph({
    model,
    sequences: 3,
    contextTokens: Math.min(256, model.config.contextTokens),
    tuning: { lanes: 32, rows: { 1: 2, 4: 2 }, laneTokens: 2, ahead: false },
    ...options,
  })
  open.push(graph)
  return graph
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
    const found = await agreement(graph, createReference(config, weights), mixedSteps(config.vocabSize))
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
