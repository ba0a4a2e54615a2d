/** Facet's WebGPU graph on a model directory, in Node.js through Dawn, with what it costs JavaScript. */
import { createWebGpuGraph, type WebGpuGraph } from '../../src/engine/webgpu/graph.ts'
import { openBench, Steps } from '../steps.ts'
import { argument, serveSubject } from '../subject.ts'
import { type GpuTraffic, watchTraffic } from '../traffic.ts'

let graph: WebGpuGraph
let steps: Steps
let traffic: GpuTraffic

serveSubject({
  load: async (sequences, contextTokens) => {
    const start = performance.now()
    const model = await openBench(argument(0))
    graph = await createWebGpuGraph({
      model,
      sequences: sequences!,
      contextTokens: contextTokens!,
      timestamps: true,
    })
    steps = new Steps(graph)
    traffic = watchTraffic()
    return [performance.now() - start]
  },
  adapter: async () => graph.name,
  decode: (context, count, turns) => steps.decode(context!, count!, turns!),
  prefill: async (count) => [await steps.prefill(count!)],
  /** Bytes read back a step, and milliseconds a step in which this thread did not wait for the GPU. */
  costs: async (context, turns) => {
    await steps.caches(context!, 1, turns!)
    const { readBytes, waitedMs } = traffic
    const tookMs = (await steps.decode(context!, 1, turns!)).reduce((a, b) => a + b, 0)
    return [(traffic.readBytes - readBytes) / turns!, (tookMs - (traffic.waitedMs - waitedMs)) / turns!]
  },
  /** Milliseconds of each kernel in a step, by name, by the GPU's own clock. */
  kernels: async (context) => {
    const times = await graph.profile(await steps.caches(context!, 1, 1))
    const byName: Record<string, number> = {}
    for (const { name, tookNs } of times) byName[name] = (byName[name] ?? 0) + tookNs / 1e6
    return byName
  },
  end: async () => {
    await graph.dispose()
    return []
  },
})
