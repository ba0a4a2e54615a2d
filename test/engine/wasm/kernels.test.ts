import { describe, expect, it } from 'vitest'
import { createReference } from '../../../src/engine/reference.ts'
import { argmax } from '../../../src/engine/select.ts'
import type { Build } from '../../../src/engine/wasm/kernels.ts'
import { cosines, referenceParts } from '../agreement.ts'
import type { FixtureGolden } from '../golden.ts'
import { goldenPrompts, greedy, readJson } from '../golden.ts'
import { FIXTURES, logitsOf, quantizedFixture, shippedModel, wasmGraph } from './models.ts'
import { cosinesUpToTies } from './rounding.ts'

const BUILDS: readonly Build[] = ['threads', 'relaxed', 'simd']
/** So few tokens tell no more: scripts/fidelity.ts measures 200 documents, and allows 0.005. */
const PERPLEXITY = 0.015
const least = (values: readonly number[]): number => Math.min(...values)
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/** Of the tokens after the first, from logits (tokens, vocabulary). */
function perplexity(logits: Float32Array, tokens: readonly number[]): number {
  const vocab = logits.length / tokens.length
  const losses = tokens.slice(1).map((id, i) => {
    const row = logits.subarray(i * vocab, (i + 1) * vocab)
    return Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[id]!
  })
  return Math.exp(mean(losses))
}

/** So many ids below `vocab` that start with bos and do not repeat soon. */
const idsBelow = (vocab: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i === 0 ? 2 : (7919 * i + 13 * i * i) % vocab))

// Together: multi-query, grouped and multi-head attention, windows, both soft-caps, post-norms, norms of
// queries and keys, two rotary bases. 600 positions: three of the chunks that attention is merged from.
describe.each(FIXTURES.flatMap((name) => [[name, 'int4'] as const, [name, 'int8'] as const]))(
  'the kernels on %s in %s',
  (name, quant) => {
    const model = quantizedFixture(name, quant, { contextTokens: 1024 })
    const parts = model.then(referenceParts)

    it.each([
      ['simd', 256],
      ['relaxed', 600],
    ] as const)('compute what the reference computes in 8 bits: %s, %i positions', async (build, count) => {
      const tokens = idsBelow(512, count)
      const logits = await logitsOf(await wasmGraph(await model, { build, cacheBits: 32 }), tokens)
      const found = await cosinesUpToTies(logits, tokens, await parts, { activationBits: 8 })
      expect(found).toHaveLength(count)
      expect(least(found)).toBeGreaterThan(0.9999)
    })

    it('stay near float32 activations', async () => {
      const tokens = readJson<FixtureGolden>(`../fixtures/${name}/golden.json`).input_ids
      const { config, weights } = await parts
      const exact = await logitsOf(createReference(config, weights), tokens)
      for (const build of BUILDS) {
        const logits = await logitsOf(await wasmGraph(await model, { build, cacheBits: 32 }), tokens)
        expect(least(cosines(logits, exact, config.vocabSize))).toBeGreaterThan(0.98)
      }
    })

    it('give the same bits on one thread as on several', async () => {
      const tokens = idsBelow(512, 300)
      const alone = await logitsOf(await wasmGraph(await model, { build: 'relaxed' }), tokens)
      for (const threads of [1, 2, 3, 4]) {
        const graph = await wasmGraph(await model, { build: 'threads', threads })
        expect(graph.name).toBe(`wasm (${threads} threads)`)
        expect(await logitsOf(graph, tokens)).toEqual(alone)
      }
    })
  },
)

describe('a KV cache of 8 bits', () => {
  it.each(FIXTURES)('holds on %s what the reference rounds', async (name) => {
    const model = await quantizedFixture(name)
    const tokens = idsBelow(512, 256)
    for (const build of ['relaxed', 'simd'] as const) {
      const logits = await logitsOf(await wasmGraph(model, { build, cacheBits: 8 }), tokens)
      const options = { activationBits: 8, cacheBits: 8 } as const
      const found = await cosinesUpToTies(logits, tokens, await referenceParts(model), options)
      expect(least(found)).toBeGreaterThan(0.9999)
    }
  })
})

// Small elements of a key have steps as small as float32's noise in large ones: about one in a hundred is a
// tie that either side may round its own way. So: many short sequences, most of which have none.
describe('a KV cache of 16 bits', () => {
  it.each(FIXTURES)('holds on %s what the reference rounds', async (name) => {
    const model = await quantizedFixture(name)
    const { config, weights } = await referenceParts(model)
    const reference = createReference(config, weights, { activationBits: 8, cacheBits: 16 })
    const sequences = Array.from({ length: 40 }, (_, i) => [2, 11 * i + 3, 7 * i + 5])
    for (const build of ['relaxed', 'simd'] as const) {
      const graph = await wasmGraph(model, { build, cacheBits: 16 })
      let equal = 0
      for (const tokens of sequences) {
        const found = cosines(
          await logitsOf(graph, tokens),
          await logitsOf(reference, tokens),
          config.vocabSize,
        )
        expect(least(found)).toBeGreaterThan(0.99)
        if (least(found) > 1 - 1e-9) equal++
      }
      expect(equal).toBeGreaterThanOrEqual(30)
    }
  })
})

describe('the kernels on the shipped model', () => {
  /** Held-out pages of the sample's evaluation, one after the other. */
  const page = async (count: number): Promise<number[]> => {
    const { tokenizer, config } = await shippedModel()
    const { heldout_documents } = readJson<{ heldout_documents: string[] }>(
      '../golden/facet-tldr-24m-eval.json',
    )
    return [config.bosId, ...heldout_documents.slice(0, 9).flatMap((text) => tokenizer.encode(text))].slice(
      0,
      count,
    )
  }

  it('compute what the reference computes in 8 bits', async () => {
    const model = await shippedModel()
    const tokens = await page(64)
    const logits = await logitsOf(await wasmGraph(model, { cacheBits: 32 }), tokens)
    const found = await cosinesUpToTies(logits, tokens, await referenceParts(model), { activationBits: 8 })
    expect(least(found)).toBeGreaterThan(0.9999)
  })

  it('stay near float32 activations at all of 512 positions', async () => {
    const model = await shippedModel()
    const { config, weights } = await referenceParts(model)
    const tokens = await page(512)
    const exact = await logitsOf(createReference(config, weights), tokens)
    for (const build of BUILDS) {
      const logits = await logitsOf(await wasmGraph(model, { build }), tokens)
      const found = cosines(logits, exact, config.vocabSize)
      expect(found).toHaveLength(512)
      expect(least(found)).toBeGreaterThan(0.999)
      expect(mean(found)).toBeGreaterThan(0.9999)
      expect(Math.abs(perplexity(logits, tokens) / perplexity(exact, tokens) - 1)).toBeLessThan(PERPLEXITY)
    }
    const small = await logitsOf(await wasmGraph(model, { cacheBits: 8 }), tokens)
    expect(mean(cosines(small, exact, config.vocabSize))).toBeGreaterThan(0.9995)
    expect(Math.abs(perplexity(small, tokens) / perplexity(exact, tokens) - 1)).toBeLessThan(PERPLEXITY)
  })

  it.each(BUILDS)("give transformers' greedy ids for at least 14 of the 15 prompts: %s", async (build) => {
    const graph = await wasmGraph(await shippedModel(), { build, sequences: 15 })
    const prompts = goldenPrompts.map(({ input_ids, greedy_ids_int4 }) => ({
      ids: input_ids,
      length: greedy_ids_int4.length,
    }))
    const answers = await greedy(graph, prompts)
    const equal = goldenPrompts.filter(
      ({ greedy_ids_int4 }, i) => answers[i]!.ids.join() === greedy_ids_int4.join(),
    )
    expect(equal.length).toBeGreaterThanOrEqual(14)
    const first = goldenPrompts.filter(
      ({ greedy_ids_int4 }, i) => argmax(answers[i]!.first) === greedy_ids_int4[0],
    )
    expect(first).toHaveLength(15)
  })
})
