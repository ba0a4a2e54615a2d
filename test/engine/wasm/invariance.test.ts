import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEngine } from '../../../src/engine/backend.ts'
import type { Graph, KvCache, Slice } from '../../../src/engine/graph.ts'
import type { WasmOptions } from '../../../src/engine/wasm/graph.ts'
import { collect } from '../collect.ts'
import { letters } from '../fake-graph.ts'
import { logitsOf, quantizedFixture, wasmGraph } from './models.ts'

const CONTEXT = 128
const SEQUENCES = 8
/** Starts that sequences share: two that part in the third page of the KV cache, and one of its own. */
const STARTS = [[7, 11, 13], [7, 11, 13], [5]].map((step, which) =>
  Array.from({ length: CONTEXT }, (_, i) =>
    i === 0 ? 2 : (i * step[i % step.length]! + (i > 80 ? which : 0)) % 512,
  ),
)

/** What is done with one sequence: how much of it at a time, and what comes between. */
const sequence = fc.record({
  start: fc.nat(STARTS.length - 1),
  length: fc.integer({ min: 1, max: CONTEXT }),
  /** Tokens of a slice; 1 is a decode step. */
  chunk: fc.constantFrom(1, 1, 2, 3, 5, 8, 16, 17, 31, 64, 128),
  reuse: fc.boolean(),
  /** Once, after so many tokens, it goes back to an earlier length. */
  back: fc.option(fc.tuple(fc.integer({ min: 1, max: CONTEXT }), fc.nat(CONTEXT)), { nil: undefined }),
  /** Steps that pass before its first, and between its slices. */
  late: fc.nat(4),
  pause: fc.nat(2),
})

type Plan = typeof sequence extends fc.Arbitrary<infer T> ? T : never

/** Runs all plans at once; checks the logits of every slice against those of the sequence alone. */
async function runTogether(
  graph: Graph,
  plans: readonly Plan[],
  alone: readonly Float32Array[],
): Promise<void> {
  const { vocabSize } = graph.config
  interface Running {
    readonly plan: Plan
    readonly tokens: readonly number[]
    cache: KvCache | undefined
    back: Plan['back']
    wait: number
  }
  let live = plans.map(
    (plan): Running => ({
      plan,
      tokens: STARTS[plan.start]!.slice(0, plan.length),
      cache: undefined,
      back: plan.back,
      wait: plan.late,
    }),
  )
  while (live.length > 0) {
    const batch: (Slice & { readonly running: Running })[] = []
    for (const running of live) {
      if (running.wait-- > 0) continue
      running.wait = running.plan.pause
      if (!running.cache) {
        running.cache = graph.open(running.tokens.length)
        if (running.plan.reuse) running.cache.reuse!(running.tokens.slice(0, -1))
      }
      const { cache, plan } = running
      const tokens = running.tokens.slice(cache.length, cache.length + plan.chunk)
      batch.push({ cache, tokens, logits: Math.ceil(tokens.length / 2), running })
    }
    if (batch.length === 0) continue
    const results = await graph.step(batch)
    for (const [i, { cache, logits, running }] of batch.entries()) {
      const end = cache.length * vocabSize
      const expected = alone[running.plan.start]!.subarray(end - logits! * vocabSize, end)
      expect(Buffer.compare(bytesOf(results[i]!), bytesOf(expected))).toBe(0)
      if (running.back && cache.length >= running.back[0]) {
        cache.truncate(Math.min(running.back[1], cache.length))
        running.back = undefined
      }
      if (cache.length === running.tokens.length) {
        cache.dispose()
        live = live.filter((other) => other !== running)
      }
    }
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

describe.each([
  ['gemma2', { build: 'relaxed' }, 'relaxed'],
  ['gemma2', { build: 'threads', threads: 2 }, 'relaxed'],
  ['gemma3', { build: 'threads', threads: 3 }, 'relaxed'],
  ['gemma-mha', { build: 'simd' }, 'simd'],
  ['gemma-mqa', { build: 'threads', threads: 2, cacheBits: 8 }, 'relaxed'],
] satisfies [string, Partial<WasmOptions>, string][])('%s on %o', (name, options, build) => {
  it('gives a sequence the same logits, bit for bit, whatever shares its steps, pages and prefix', async () => {
    const model = await quantizedFixture(name as 'gemma2', 'int4')
    const single = await wasmGraph(model, { ...options, build: build as 'simd' })
    const alone: Float32Array[] = []
    for (const start of STARTS) alone.push(await logitsOf(single, start))
    // Pages for all sequences at full length, and not one more: what is remembered must give way.
    const graph = await wasmGraph(model, { ...options, sequences: SEQUENCES, contextTokens: CONTEXT })
    await fc.assert(
      fc.asyncProperty(fc.array(sequence, { minLength: 1, maxLength: SEQUENCES, size: 'max' }), (plans) =>
        runTogether(graph, plans, alone),
      ),
      { numRuns: 30 },
    )
    expect(graph.usage).toMatchObject({ openCaches: 0, pages: (SEQUENCES * CONTEXT) / 32, idlePages: 32 })
  })
})

describe('an engine on the kernels', () => {
  const request = fc.record({
    prompt: fc.array(fc.constantFrom(...letters.encode('ab'), 5, 299), {
      minLength: 1,
      maxLength: 90,
      size: 'max',
    }),
    maxTokens: fc.integer({ min: 1, max: 12 }),
    temperature: fc.constantFrom(0, 1),
    seed: fc.nat(3),
  })

  it('answers a request the same, alone or among others, whatever the threads and the prefill chunk', async () => {
    const model = await quantizedFixture('gemma2')
    const engineOf = async (slots: number, prefillChunk: number, options: Partial<WasmOptions>) => {
      const graph = await wasmGraph(model, { sequences: slots, ...options })
      return createEngine({ graph, tokenizer: letters, model: { id: 'x' }, slots, prefillChunk })
    }
    const single = await engineOf(1, 128, { build: 'relaxed' })
    const crowded = [
      await engineOf(8, 128, { build: 'relaxed' }),
      await engineOf(8, 16, { threads: 2 }),
      await engineOf(3, 7, { threads: 3 }),
    ]
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 8, size: 'max' }), async (requests) => {
        const asked = requests.map((each) => ({ ...each, logprobs: 2 }))
        const alone = []
        for (const each of asked) alone.push((await collect(single, each)).logprobs)
        for (const engine of crowded) {
          const answers = await Promise.all(asked.map((each) => collect(engine, each)))
          expect(answers.map(({ logprobs }) => logprobs)).toEqual(alone)
        }
      }),
      { numRuns: 12 },
    )
  })
})
