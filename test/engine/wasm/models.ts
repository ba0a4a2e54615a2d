/** Quantized models for the kernels, the fixtures and the one that ships, and the graphs that run them. */
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { readConfig } from '../../../src/convert/checkpoint-files.ts'
import { tensorSources } from '../../../src/convert/checkpoint-weights.ts'
import { writeData } from '../../../src/convert/data-file.ts'
import { layOut, type WeightFormat } from '../../../src/convert/layout.ts'
import { writeModel } from '../../../src/convert/model-directory.ts'
import { disk } from '../../../src/convert/output.ts'
import { openCheckpoint } from '../../../src/convert/safetensors.ts'
import type { Graph, Slice } from '../../../src/engine/graph.ts'
import { type OpenedModel, openWithoutData } from '../../../src/engine/model-file.ts'
import { readEntry } from '../../../src/engine/model-files.ts'
import { filesFromDirectory } from '../../../src/engine/node.ts'
import { createWasmGraph, type WasmGraph, type WasmOptions } from '../../../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../../../src/engine/wasm/threads-node.ts'
import type { GemmaConfig } from '../../../src/gemma/config.ts'
import { GRAPH_FILE } from '../../../src/gemma/manifest.ts'
import { fixture, temporary } from '../../convert/checkpoints.ts'
import { MODEL_DIRECTORY } from '../golden.ts'

export type TestModel = WasmOptions['model']
export type FixtureName = 'gemma-mqa' | 'gemma-mha' | 'gemma2' | 'gemma3'
export const FIXTURES: readonly FixtureName[] = ['gemma-mqa', 'gemma-mha', 'gemma2', 'gemma3']

/** A fixture as a quantized model directory, with another configuration where a test wants one. */
export async function quantizedFixture(
  name: FixtureName,
  quant: 'int4' | 'int8' | Omit<WeightFormat, 'dtype'> = 'int4',
  change: Partial<GemmaConfig> = {},
): Promise<TestModel> {
  const config = { ...(await readConfig(fixture(name))), ...change }
  const out = join(await temporary(), name)
  await using checkpoint = await openCheckpoint(fixture(name))
  const sources = tensorSources(checkpoint, config)
  const format: WeightFormat = { ...(typeof quant === 'string' ? { quant } : quant), dtype: 'bf16' }
  const layout = layOut(config, format)
  const copies = new Map([['config.json', new Uint8Array()]])
  const manifest = await writeModel(disk, { out, copies, config, format, layout }, {}, (file) =>
    writeData(file, { checkpoint, config, sources, format, layout }, {}),
  )
  const files = filesFromDirectory(out)
  const reading = { verify: true }
  const entry = manifest.files.find(({ path }) => path === GRAPH_FILE)!
  return { files, manifest, config, graph: await readEntry(files, entry, reading), reading }
}

/** With its tokenizer. */
export const shippedModel = (): Promise<OpenedModel> => openWithoutData(filesFromDirectory(MODEL_DIRECTORY))

const open: Graph[] = []
afterAll(() => Promise.all(open.splice(0).map((graph) => graph.dispose())))

/** The kernels with worker threads to call on; disposed of after the file's tests. */
export async function wasmGraph(
  model: TestModel,
  options: Partial<Omit<WasmOptions, 'model'>> = {},
): Promise<WasmGraph> {
  const { contextTokens } = model.config
  const graph = await createWasmGraph({
    model,
    sequences: 1,
    contextTokens,
    spawn: spawnNodeThread,
    ...options,
  })
  open.push(graph)
  return graph
}

/** Logits after every token, (tokens, vocabSize), of a sequence that starts with them. */
export async function logitsOf(graph: Graph, tokens: readonly number[]): Promise<Float32Array> {
  const cache = graph.open(tokens.length)
  const [logits] = await graph.step([{ cache, tokens, logits: tokens.length } satisfies Slice])
  cache.dispose()
  return logits!
}
