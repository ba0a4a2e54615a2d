/** `npm run bench -- adapters`: what a LoRA adapter of all seven matrices costs a decode step and a prompt. */
import type { GraphAdapter, KvCache } from '../src/engine/graph.ts'
import { readManifest } from '../src/engine/model-file.ts'
import { readEntry } from '../src/engine/model-files.ts'
import { filesFromDirectory } from '../src/engine/node.ts'
import { adapterBytes } from '../src/engine/wasm/adapters.ts'
import { createWasmGraph, type WasmGraph } from '../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../src/engine/wasm/threads-node.ts'
import type { GemmaConfig } from '../src/gemma/config.ts'
import { type Lora, loraModuleShape } from '../src/gemma/lora.ts'
import { LORA_MODULES } from '../src/gemma/lora-config.ts'
import { GRAPH_FILE } from '../src/gemma/manifest.ts'
import { randomFrom } from '../src/random.ts'
import { machineFacts } from './machine.ts'
import { benchModel } from './models.ts'
import { type AdapterRatios, median, type OwnBenchOptions, type Report, Results, round } from './results.ts'

const RANKS = [8, 16] as const
const CONTEXT = 256
const PROMPT = 128
const STEPS = 16

/** Steps of the model alone and with each adapter take turns, so that what disturbs one disturbs all. */
export async function benchAdapters({
  rounds,
  quick,
  cache,
  say,
}: OwnBenchOptions): Promise<Report<AdapterRatios>> {
  const machine = machineFacts({})
  const { directory, config, facts } = await benchModel(quick ? 'tiny' : 'gemma-2b', cache, say)
  const loras = RANKS.map((rank) => randomLora(config, rank))
  const room = loras.reduce((sum, { pairs }) => sum + adapterBytes(pairs, config), 0)
  const graph = await openGraph(directory, config, room)
  const results = new Results(say)
  const overheads = new Map<string, number[]>()
  try {
    const runners: Runner[] = [{ name: 'without', cache: graph.open(CONTEXT + PROMPT) }]
    for (const [i, lora] of loras.entries()) {
      const adapter = await graph.adapt(lora)
      runners.push({ name: `rank ${RANKS[i]}`, cache: graph.open(CONTEXT + PROMPT), adapter })
    }
    for (const { cache: one, adapter } of runners) {
      one.use!(adapter)
      await graph.step([{ cache: one, tokens: idsOf(CONTEXT) }])
    }
    for (let turn = 0; turn < rounds; turn++) {
      say(`round ${turn + 1} of ${rounds}`)
      const decode = await inTurns(graph, runners, [7], STEPS)
      const prompt = await inTurns(graph, runners, idsOf(PROMPT), 1)
      for (const [i, { name }] of runners.entries()) {
        results.add(name, 'decode_step', 'ms', decode[i]!)
        results.add(name, `prompt_${PROMPT}`, 'ms', prompt[i]!)
        note(overheads, `decode ${name}`, decode[i]! / decode[0]!)
        note(overheads, `prompt ${name}`, prompt[i]! / prompt[0]!)
      }
    }
  } finally {
    await graph.dispose()
  }
  const overhead = (key: string): number => round(median(overheads.get(key)!)! - 1)
  return {
    machine,
    model: facts,
    results: results.list(),
    ratios: {
      decode8: overhead('decode rank 8'),
      decode16: overhead('decode rank 16'),
      prompt8: overhead('prompt rank 8'),
      prompt16: overhead('prompt rank 16'),
    },
  }
}

interface Runner {
  readonly name: string
  readonly cache: KvCache
  readonly adapter?: GraphAdapter
}

/** Median milliseconds of a step with these tokens, for each runner. */
async function inTurns(
  graph: WasmGraph,
  runners: readonly Runner[],
  tokens: readonly number[],
  steps: number,
): Promise<number[]> {
  const times = runners.map((): number[] => [])
  for (let step = 0; step < steps; step++) {
    for (const [i, { cache }] of runners.entries()) {
      const startMs = performance.now()
      await graph.step([{ cache, tokens }])
      times[i]!.push(performance.now() - startMs)
      cache.truncate(CONTEXT)
    }
  }
  return times.map((each) => median(each)!)
}

async function openGraph(directory: string, config: GemmaConfig, room: number): Promise<WasmGraph> {
  const files = filesFromDirectory(directory)
  const manifest = await readManifest(files)
  const reading = { verify: false }
  const entry = manifest.files.find(({ path }) => path === GRAPH_FILE)!
  const model = { files, manifest, config, reading, graph: await readEntry(files, entry, reading) }
  return createWasmGraph({
    model,
    sequences: RANKS.length + 1,
    contextTokens: CONTEXT + PROMPT,
    spawn: spawnNodeThread,
    adapterBytes: room,
  })
}

function randomLora(config: GemmaConfig, rank: number): Lora {
  const random = randomFrom(rank)
  const numbers = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => (random() - 0.5) / 64)
  const pairs = config.layers.flatMap((_, layer) =>
    LORA_MODULES.map((module) => {
      const [inputs, outputs] = loraModuleShape(module, config)
      const [a, b] = [numbers(rank * inputs), numbers(outputs * rank)]
      return { layer, module, rank, inputs, outputs, scale: 2, a, b }
    }),
  )
  return { pairs }
}

const idsOf = (count: number): number[] => Array.from({ length: count }, (_, i) => 3 + ((i * 7919) % 8000))

function note(all: Map<string, number[]>, key: string, value: number): void {
  all.set(key, [...(all.get(key) ?? []), value])
}
