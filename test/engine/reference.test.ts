import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { weightsFrom } from '../../src/convert/checkpoint-weights.ts'
import { openCheckpoint } from '../../src/convert/safetensors.ts'
import type { Graph } from '../../src/engine/graph.ts'
import { openModel } from '../../src/engine/model-file.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { createReference } from '../../src/engine/reference.ts'
import { dequantizedWeights } from '../../src/engine/tensors.ts'
import { configFrom } from '../../src/gemma/config.ts'
import { type FixtureGolden, goldenPrompts, greedy, MODEL_DIRECTORY, readJson } from './golden.ts'

async function fixture(name: string): Promise<Graph> {
  const at = `../fixtures/${name}`
  const config = configFrom(readJson(`${at}/config.json`), readJson(`${at}/generation_config.json`))
  await using checkpoint = await openCheckpoint(fileURLToPath(new URL(at, import.meta.url)))
  return createReference(config, await weightsFrom(checkpoint, config))
}

describe.each(['gemma-mqa', 'gemma-mha', 'gemma2', 'gemma3'])('the reference on %s', (name) => {
  const golden = readJson<FixtureGolden>(`../fixtures/${name}/golden.json`)
  const input = golden.input_ids

  it("gives transformers' logits within 1e-3", async () => {
    const graph = await fixture(name)
    const { vocabSize } = graph.config
    const [logits] = await graph.step([{ cache: graph.open(64), tokens: input, logits: input.length }])
    for (const [i, position] of golden.logits_at.entries()) {
      const expected = golden.logits[i]!
      expect(expected).toHaveLength(vocabSize)
      const worst = Math.max(
        ...expected.map((logit, id) => Math.abs(logits![position * vocabSize + id]! - logit)),
      )
      expect(worst).toBeLessThan(1e-3)
    }
  })

  it("gives transformers' greedy ids", async () => {
    const [answer] = await greedy(await fixture(name), [{ ids: input, length: golden.greedy_ids.length }])
    expect(answer!.ids).toEqual(golden.greedy_ids)
  })

  it('gives the same bits however the tokens are sliced and whatever shares the step', async () => {
    const graph = await fixture(name)
    const [whole] = await graph.step([{ cache: graph.open(40), tokens: input }])
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 39 }), { maxLength: 4 }), async (cuts) => {
        const edges = [...new Set([0, ...cuts, input.length])].sort((a, b) => a - b)
        const cache = graph.open(50)
        let last: Float32Array | undefined
        for (const [i, start] of edges.slice(0, -1).entries()) {
          const other = { cache: graph.open(10), tokens: [2, 5, 9] }
          const own = { cache, tokens: input.slice(start, edges[i + 1]) }
          last = (await graph.step([other, own]))[1]
        }
        expect(last).toEqual(whole)
      }),
      { numRuns: 10 },
    )
  })

  it('continues a truncated cache as if the rest had never been', async () => {
    const graph = await fixture(name)
    const cache = graph.open(64)
    const [expected] = await graph.step([{ cache, tokens: input }])
    await graph.step([{ cache, tokens: [7, 8, 9] }])
    cache.truncate(30)
    const [again] = await graph.step([{ cache, tokens: input.slice(30) }])
    expect(again).toEqual(expected)
  })
})

describe('the reference', () => {
  it('refuses a step that does not fit, and leaves every cache as it was', async () => {
    const graph = await fixture('gemma-mqa')
    const good = graph.open(8)
    const small = graph.open(2)
    const step = graph.step([
      { cache: good, tokens: [2, 3] },
      { cache: small, tokens: [2, 3, 4] },
    ])
    await expect(step).rejects.toThrow('do not fit')
    expect([good.length, small.length]).toEqual([0, 0])
    await expect(graph.step([{ cache: good, tokens: [] }])).rejects.toThrow('no tokens')
    await expect(graph.step([{ cache: good, tokens: [512] }])).rejects.toThrow('vocabulary')
    await expect(graph.step([{ cache: good, tokens: [1], logits: 2 }])).rejects.toThrow('logits')
    good.dispose()
    await expect(graph.step([{ cache: good, tokens: [1] }])).rejects.toThrow('dispose')
  })

  it("agrees with transformers on the shipped model's int4 weights, prompt for prompt", async () => {
    const model = await openModel(filesFromDirectory(MODEL_DIRECTORY))
    const graph = createReference(model.config, dequantizedWeights(model))
    const prompts = goldenPrompts.map(({ input_ids, greedy_ids_int4 }) => ({
      ids: input_ids,
      length: greedy_ids_int4.length,
    }))
    const answers = await greedy(graph, prompts)
    for (const [i, golden] of goldenPrompts.entries()) {
      const { ids, first } = answers[i]!
      for (const [id, logit] of golden.last_logits_int4_top10) {
        expect(Math.abs(first[id]! - logit), golden.prompt).toBeLessThan(1e-3)
      }
      expect(ids, golden.prompt).toEqual(golden.greedy_ids_int4)
    }
  })
})
