/** Facet itself on a model directory, measured at its graph: tokens in, logits out, the likeliest token taken. */
import { createEngine } from '../../src/engine/backend.ts'
import type { Graph, KvCache } from '../../src/engine/graph.ts'
import { readManifest } from '../../src/engine/model-file.ts'
import { readEntry } from '../../src/engine/model-files.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { argmax } from '../../src/engine/select.ts'
import { createWasmGraph } from '../../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../../src/engine/wasm/threads-node.ts'
import { configFrom } from '../../src/gemma/config.ts'
import { GRAPH_FILE } from '../../src/gemma/manifest.ts'
import type { Tokenizer } from '../../src/gemma/tokenizer.ts'
import { anyTokens, argument, serveSubject, timed } from '../subject.ts'

let graph: Graph
/** Caches filled to some length, by purpose. */
const filled = new Map<string, KvCache>()
let seed = 0

/** One character a token: these weights say nothing. */
const tokenizer: Omit<Tokenizer, 'vocabSize'> = {
  encode: (text) => [...text].map(() => 300),
  decode: (ids) => 'x'.repeat(ids.length),
  stream: () => ({ push: () => 'x', flush: () => '' }),
  idOf: () => undefined,
  tokenOf: () => 'x',
}

async function load(sequences: number, contextTokens: number): Promise<readonly number[]> {
  const files = filesFromDirectory(argument(0))
  const start = performance.now()
  const manifest = await readManifest(files)
  const reading = { verify: true, onBytes: () => {} }
  const read = (path: string) => readEntry(files, manifest.files.find((each) => each.path === path)!, reading)
  const config = configFrom(JSON.parse(new TextDecoder().decode(await read('config.json'))))
  // Not openModel: random weights have no tokenizer.
  const model = { files, manifest, config, graph: await read(GRAPH_FILE), reading }
  graph = await createWasmGraph({ model, sequences, contextTokens, spawn: spawnNodeThread })
  return [performance.now() - start]
}

async function cacheOf(name: string, length: number, capacity: number): Promise<KvCache> {
  const known = filled.get(name)
  if (known) return known
  const cache = graph.open(capacity)
  await graph.step([{ cache, tokens: anyTokens(length, graph.config.vocabSize, seed++) }])
  filled.set(name, cache)
  return cache
}

/** Milliseconds of each step of `count` sequences that hold `context` tokens each. */
async function decode(context: number, count: number, steps: number): Promise<readonly number[]> {
  const caches: KvCache[] = []
  for (let i = 0; i < count; i++) caches.push(await cacheOf(`${context}.${i}`, context, context + steps))
  let tokens = caches.map((_, i) => 300 + i)
  const samples: number[] = []
  for (let step = 0; step < steps; step++) {
    samples.push(
      await timed(async () => {
        const logits = await graph.step(caches.map((cache, i) => ({ cache, tokens: [tokens[i]!] })))
        tokens = logits.map(argmax)
      }),
    )
  }
  for (const cache of caches) cache.truncate(context)
  return samples
}

/** Milliseconds for `count` tokens into an empty cache. */
async function prefill(count: number): Promise<readonly number[]> {
  const cache = graph.open(count)
  const tokens = anyTokens(count, graph.config.vocabSize, seed++)
  const took = await timed(() => graph.step([{ cache, tokens }]))
  cache.dispose()
  return [took]
}

/** A graph's face without its class: methods that can be replaced one by one. */
function bound(whole: Graph): Graph {
  return {
    config: whole.config,
    name: whole.name,
    open: (capacity) => whole.open(capacity),
    step: (batch) => whole.step(batch),
    dispose: () => whole.dispose(),
  }
}

/** Milliseconds to the first token, twice for the same prompt: unseen, then seen. Through the scheduler. */
async function prefix(count: number): Promise<readonly number[]> {
  const { vocabSize } = graph.config
  const engine = createEngine({
    // The engine closes its caches with itself, but not the graph, which is measured further.
    graph: { ...bound(graph), dispose: async () => {} },
    tokenizer: { ...tokenizer, vocabSize },
    slots: 1,
    model: { id: 'bench', contextTokens: count + 64 },
  })
  const shared = anyTokens(count, vocabSize, seed++)
  const samples: number[] = []
  // Each time other tokens follow, as another question follows the same system prompt.
  for (const last of [301, 302]) {
    const request = { prompt: [...shared, last, 7, 8, 9], maxTokens: 1, temperature: 0 }
    samples.push(
      await timed(async () => {
        for await (const event of engine.chat(request)) if (event.type === 'text') break
      }),
    )
  }
  await engine.close()
  return samples
}

serveSubject({
  load,
  decode,
  prefill,
  prefix,
  /** Most bytes this process ever held. */
  peak: async () => [process.resourceUsage().maxRSS * 1024],
})
