/** Facet itself on a model directory, measured at its graph: tokens in, logits out, the likeliest token taken. */
import { createEngine } from '../../src/engine/backend.ts'
import type { Graph } from '../../src/engine/graph.ts'
import { createWasmGraph } from '../../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../../src/engine/wasm/threads-node.ts'
import type { Tokenizer } from '../../src/gemma/tokenizer.ts'
import { openBench, Steps } from '../steps.ts'
import { argument, serveSubject, timed } from '../subject.ts'

let graph: Graph
let steps: Steps

/** One character a token: these weights say nothing. */
const tokenizer: Omit<Tokenizer, 'vocabSize'> = {
  encode: (text) => [...text].map(() => 300),
  decode: (ids) => 'x'.repeat(ids.length),
  stream: () => ({ push: () => 'x', flush: () => '' }),
  idOf: () => undefined,
  tokenOf: () => 'x',
}

async function load(sequences: number, contextTokens: number): Promise<readonly number[]> {
  const start = performance.now()
  const model = await openBench(argument(0))
  graph = await createWasmGraph({ model, sequences, contextTokens, spawn: spawnNodeThread })
  steps = new Steps(graph)
  return [performance.now() - start]
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
  const shared = steps.tokens(count)
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
  decode: (context, count, turns) => steps.decode(context!, count!, turns!),
  prefill: async (count) => [await steps.prefill(count!)],
  prefix,
  /** Most bytes this process ever held. */
  peak: async () => [process.resourceUsage().maxRSS * 1024],
})
