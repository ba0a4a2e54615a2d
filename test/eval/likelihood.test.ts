import { describe, expect, it } from 'vitest'
import { createEngine } from '../../src/engine/backend.ts'
import type { Graph } from '../../src/engine/graph.ts'
import { loadEngine } from '../../src/engine/node.ts'
import { createReference } from '../../src/engine/reference.ts'
import type { Backend } from '../../src/types.ts'
import { type ReferenceParts, referenceParts } from '../engine/agreement.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { FIXTURES, logitsOf, quantizedFixture, shippedModel, wasmGraph } from '../engine/wasm/models.ts'
import { nearestReference } from '../engine/wasm/rounding.ts'

type Ids = readonly number[]

/** Log-likelihood of each continuation, from the logits of prompt and continuation in one pass. */
async function exactly(
  { config }: Graph,
  prompt: Ids,
  continuations: readonly Ids[],
  logitsAt: (tokens: Ids) => Promise<readonly Float32Array[]>,
) {
  const sums: number[] = []
  for (const ids of continuations) {
    const rows = await logitsAt([...prompt, ...ids])
    const logprobs = ids.map((id, i) => {
      const row = rows[prompt.length - 1 + i]!.subarray(0, config.vocabSize)
      const most = row.reduce((max, logit) => Math.max(max, logit), Number.NEGATIVE_INFINITY)
      return row[id]! - most - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0))
    })
    sums.push(logprobs.reduce((sum, logprob) => sum + logprob, 0))
  }
  return sums
}

/** Rows of a graph's logits. */
const rowsOf =
  (graph: Graph) =>
  async (tokens: Ids): Promise<Float32Array[]> => {
    const logits = await logitsOf(graph, tokens)
    const { vocabSize } = graph.config
    return tokens.map((_, at) => logits.subarray(at * vocabSize, (at + 1) * vocabSize))
  }

/** Rows of the reference's logits, where it rounds activations to 8 bits as our kernels do. */
const roundedRowsOf =
  (graph: Graph, parts: ReferenceParts) =>
  async (tokens: Ids): Promise<Float32Array[]> => {
    const logits = await logitsOf(graph, tokens)
    const rows = await nearestReference(logits, tokens, parts, { activationBits: 8 })
    return rows.map((row) => row.logits)
  }

async function scoredBy(
  backend: Backend,
  prompt: readonly number[],
  continuations: readonly (readonly number[])[],
) {
  const scores = await backend.score!({ prompt, continuations })
  return scores.map((tokens) => tokens.reduce((sum, { logprob }) => sum + logprob, 0))
}

function expectClose(found: readonly number[], exact: readonly number[]): void {
  expect(found).toHaveLength(exact.length)
  for (const [i, value] of found.entries()) expect(Math.abs(value - exact[i]!)).toBeLessThan(1e-3)
}

const PROMPT = [2, 17, 30, 101, 44, 9]
const CONTINUATIONS = [[5], [60, 61, 62, 63, 64, 65, 66], [17, 30]]

describe('log-likelihoods agree with the reference to 1e-3', () => {
  it.each(FIXTURES)('on %s, where choices share a prefix and are longer than a step', async (name) => {
    const { config, weights } = await referenceParts(await quantizedFixture(name))
    const { tokenizer } = await shippedModel()
    const graph = createReference(config, weights)
    const engine = createEngine({ graph, tokenizer, model: { id: name }, prefillChunk: 4 })
    const exact = await exactly(graph, PROMPT, CONTINUATIONS, rowsOf(graph))
    expectClose(await scoredBy(engine, PROMPT, CONTINUATIONS), exact)
  })

  it.each(FIXTURES)('on %s, computed by our kernels, where the reference rounds as they do', async (name) => {
    const model = await quantizedFixture(name)
    const parts = await referenceParts(model)
    const { tokenizer } = await shippedModel()
    const graph = await wasmGraph(model, { cacheBits: 32, sequences: 4 })
    const engine = createEngine({ graph, tokenizer, model: { id: name }, prefillChunk: 4 })
    const rounded = roundedRowsOf(graph, parts)
    const exact = await exactly(graph, PROMPT, CONTINUATIONS, rounded)
    expectClose(await scoredBy(engine, PROMPT, CONTINUATIONS), exact)
  })

  it('on the shipped model, computed by onnxruntime', { timeout: 120_000 }, async () => {
    const model = await shippedModel()
    const { config, weights } = await referenceParts(model)
    const prompt = [config.bosId, ...model.tokenizer.encode('Find files by')]
    const continuations = [' name', ' a size of'].map((text) => model.tokenizer.encode(text))
    const engine = await loadEngine(MODEL_DIRECTORY, { graph: 'ort', slots: 1 })
    try {
      const graph = createReference(config, weights)
      const exact = await exactly(graph, prompt, continuations, rowsOf(graph))
      expectClose(await scoredBy(engine, prompt, continuations), exact)
    } finally {
      await engine.close()
    }
  })

  it('on the shipped model, computed by our kernels, where the reference rounds as they do', {
    timeout: 120_000,
  }, async () => {
    const model = await shippedModel()
    const parts = await referenceParts(model)
    const graph = await wasmGraph(model, { cacheBits: 32, sequences: 4 })
    const engine = createEngine({ graph, tokenizer: model.tokenizer, model: { id: 'shipped' } })
    const prompt = [parts.config.bosId, ...model.tokenizer.encode('Find')]
    const continuations = [' files', ' a'].map((text) => model.tokenizer.encode(text))
    const rounded = roundedRowsOf(graph, parts)
    const exact = await exactly(graph, prompt, continuations, rounded)
    expectClose(await scoredBy(engine, prompt, continuations), exact)
  })
})
