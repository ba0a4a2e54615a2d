import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Graph } from '../../../src/engine/graph.ts'
import { createReference } from '../../../src/engine/reference.ts'
import { type Gpu, openGpu } from '../../../src/engine/webgpu/device.ts'
import { createWebGpuGraph, type WebGpuOptions } from '../../../src/engine/webgpu/graph.ts'
import { agreement, idsBelow, referenceParts } from '../agreement.ts'
import { goldenPrompts, greedy } from '../golden.ts'
import { FIXTURES, logitsOf, quantizedFixture, shippedModel, type TestModel } from '../wasm/models.ts'
import { cosinesUpToTies } from '../wasm/rounding.ts'
import { dawn } from './dawn.ts'

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }

let gpu: Gpu
beforeAll(async () => {
  gpu = await openGpu({ gpu: dawn })
})
afterAll(() => gpu.release())

/** Few variants, small ones: that much less to compile. */
const tuning = { lanes: 32, rows: { 4: 2 }, laneTokens: 2, ahead: false } as const

/** With 4 and with 8 bits in every kind of product, and with both in one. */
const IN_8_BITS = [
  'model.layers.0.mlp.gate_proj.weight',
  'model.layers.0.self_attn.o_proj.weight',
  'model.layers.1.self_attn.qkv_proj.weight',
  'model.layers.1.mlp.up_proj.weight',
  'model.layers.1.mlp.down_proj.weight',
]
const FORMATS = {
  int4: 'int4',
  int8: 'int8',
  'int4 and int8': { quant: 'int4', int8: IN_8_BITS },
  'int4 and int8, in blocks of 64': {
    quant: 'int4',
    blockSize: 64,
    int8: ['model.embed_tokens.weight', ...IN_8_BITS],
  },
} as const

/** On the device that all tests share, but where an adapter without features is wanted. */
async function withGraph<Result>(
  model: TestModel,
  options: Partial<WebGpuOptions>,
  use: (graph: Graph) => Promise<Result>,
): Promise<Result> {
  const graph = await createWebGpuGraph({
    model,
    sequences: 3,
    contextTokens: Math.min(128, model.config.contextTokens),
    gpu: dawn,
    ...(!options.plain && { device: gpu.device }),
    tuning,
    ...options,
  })
  try {
    return await use(graph)
  } finally {
    await graph.dispose()
  }
}

/** Prompts of `first` and of 9 tokens, single tokens, then both at once: the first so many of these steps. */
function stepsFrom(vocabSize: number, first: number, count: 1 | 2 | 3): (readonly number[][])[] {
  const tokens = idsBelow(vocabSize, 90)
  return [
    [tokens.slice(0, first), tokens.slice(20, 29)],
    [[8], [9], [10]],
    [[11], tokens.slice(3, 6)],
  ].slice(0, count)
}

// Together: multi-query and multi-head attention, windows, both soft-caps, post-norms, norms of queries and
// keys, two rotary bases; more than a tile of tokens, two chunks of attention, two splits.
describe.each([
  ['gemma-mqa', 'int8', 62, 3, { tuning: { ...tuning, rows: { 1: 4, 4: 2 } } }],
  ['gemma-mha', 'int4', 40, 2, { plain: true, cacheBits: 32 }],
  ['gemma2', 'int4', 40, 2, { bindingBytes: 600_000 }],
  ['gemma3', 'int4', 40, 2, { tuning: { ...tuning, ahead: true } }],
  ['gemma-mqa', 'int4 and int8, in blocks of 64', 40, 2, {}],
  ['gemma3', 'int4 and int8', 40, 2, { plain: true }],
] as const)('the kernels on %s in %s', (name, quant, first, count, options) => {
  it('compute what the reference computes: prompts, single tokens, several sequences', SLOW, async () => {
    expect(FIXTURES).toContain(name)
    const model = await quantizedFixture(name, FORMATS[quant])
    const { config, weights } = await referenceParts(model)
    const { cacheBits } = { cacheBits: 16 as const, ...options }
    const reference = createReference(config, weights, { cacheBits })
    const found = await withGraph(model, options, (graph) =>
      agreement(graph, reference, stepsFrom(config.vocabSize, first, count)),
    )
    expect(found).toBeGreaterThan(0.99999)
  })
})

describe('keys and values of 16 bits', () => {
  it('are rounded as the reference rounds them', SLOW, async () => {
    const model = await quantizedFixture('gemma-mqa')
    const { config, weights } = await referenceParts(model)
    await withGraph(model, {}, async (graph) => {
      const agreesWith = (cacheBits: 16 | 32): Promise<number> =>
        agreement(graph, createReference(config, weights, { cacheBits }), stepsFrom(config.vocabSize, 12, 2))
      expect(await agreesWith(16)).toBeGreaterThan(await agreesWith(32))
    })
  })
})

describe('a sequence', () => {
  it('gives the same bits alone as in company', SLOW, async () => {
    const model = await quantizedFixture('gemma2')
    const tokens = idsBelow(model.config.vocabSize, 30)
    const prompts = [tokens.slice(0, 20), tokens.slice(4, 21), tokens.slice(2, 11)]
    const answers = prompts.map((ids) => ({ ids, length: 4 }))
    await withGraph(model, {}, async (graph) => {
      const together = await greedy(graph, answers)
      const [alone] = await greedy(graph, [answers[1]!])
      expect(alone).toEqual(together[1])
    })
  })
})

describe.each([
  ['with subgroups', {}],
  ['without', { plain: true }],
])('products of up to 16 tokens %s', (_, options) => {
  it('compute what the reference computes for 9 to 16 sequences', SLOW, async () => {
    const model = await quantizedFixture('gemma-mqa')
    const { config, weights } = await referenceParts(model)
    const ids = idsBelow(config.vocabSize, 200)
    const prompts = Array.from({ length: 16 }, (_, i) => ids.slice(i, i + 2 + (i % 3)))
    const single = (count: number): number[][] => Array.from({ length: count }, (_, i) => [ids[100 + i]!])
    const steps = [prompts, ...[9, 12, 15, 16].map(single)]
    const wide = { lanes: 32, rows: { 16: 2 }, laneTokens: 8, ahead: false }
    const found = await withGraph(
      model,
      { sequences: 16, contextTokens: 128, tuning: wide, ...options },
      (graph) => agreement(graph, createReference(config, weights, { cacheBits: 16 }), steps),
    )
    expect(found).toBeGreaterThan(0.99999)
  })
})

// Prompts of more than a tile, compared token by token: the graph has all at once, the reference one after another.
describe.each([
  ['gemma-mqa', 'int8', false],
  ['gemma-mha', 'int4', true],
  ['gemma2', 'int4', false],
  ['gemma3', 'int4', false],
  ['gemma-mqa', 'int4 and int8, in blocks of 64', true],
] as const)('products of 8-bit integers on %s in %s', (name, quant, ahead) => {
  it('compute what the reference computes with activations in 8 bits', SLOW, async () => {
    const model = await quantizedFixture(name, FORMATS[quant])
    const tokens = idsBelow(model.config.vocabSize, 70)
    const logits = await withGraph(
      model,
      { cacheBits: 32, arithmetics: ['int8'], tuning: { ...tuning, arithmetic: 'int8', ahead } },
      (graph) => logitsOf(graph, tokens),
    )
    const rounding = { activationBits: 8, headActivationBits: 32 } as const
    const found = await cosinesUpToTies(logits, tokens, await referenceParts(model), rounding)
    expect(Math.min(...found)).toBeGreaterThan(0.9999)
  })
})

describe('products in float16', () => {
  it.each([
    ['int4', true, 4],
    ['int8', false, 4],
    ['int4 and int8', true, 9],
  ] as const)(
    'compute what the reference computes, with float32 in the place of float16: %s',
    SLOW,
    async (quant, ahead, kernels) => {
      const model = await quantizedFixture('gemma-mqa', FORMATS[quant])
      const { config, weights } = await referenceParts(model)
      const { device, compiled } = await halfDevice()
      const options = { device, tuning: { ...tuning, arithmetic: 'f16', ahead } } as const
      const found = await withGraph(model, options, (graph) =>
        agreement(
          graph,
          createReference(config, weights, { cacheBits: 16 }),
          stepsFrom(config.vocabSize, 12, 1),
        ),
      )
      expect(compiled()).toBe(kernels)
      expect(found).toBeGreaterThan(0.999999)
      device.destroy()
    },
  )

  it('are refused where the device has none', async () => {
    const model = await quantizedFixture('gemma-mqa')
    await expect(
      withGraph(model, { device: gpu.device, arithmetics: ['f16'] }, async () => {}),
    ).rejects.toMatchObject({ code: 'unsupported', field: 'arithmetics' })
  })
})

/** A device that says it has shader-f16, and whose compiler takes float32 for it. */
async function halfDevice(): Promise<{ device: GPUDevice; compiled: () => number }> {
  const adapter = (await dawn.requestAdapter())!
  // Tiles of float32 are twice as large.
  const device = await adapter.requestDevice({ requiredLimits: { maxComputeWorkgroupStorageSize: 32_768 } })
  Object.defineProperty(device, 'features', { value: new Set(['shader-f16']) })
  const compile = device.createShaderModule.bind(device)
  const halves = new Set<string>()
  device.createShaderModule = ({ code, ...rest }) => {
    if (code.includes('enable f16;')) halves.add(code)
    return compile({ ...rest, code: code.replace('enable f16;', '').replace('= f16;', '= f32;') })
  }
  return { device, compiled: () => halves.size }
}

describe('the kernels on the shipped model', () => {
  it("give transformers' greedy ids", SLOW, async () => {
    const { input_ids, greedy_ids_int4 } = goldenPrompts[0]!
    const single = { sequences: 1, tuning: { ...tuning, rows: { 1: 4 }, laneTokens: 1 } }
    const [found] = await withGraph(await shippedModel(), single, (graph) =>
      greedy(graph, [{ ids: input_ids, length: 4 }]),
    )
    expect(found!.ids).toEqual(greedy_ids_int4.slice(0, 4))
  })
})
