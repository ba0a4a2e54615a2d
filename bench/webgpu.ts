/** `npm run bench -- webgpu`: Facet's WebGPU kernels against onnxruntime-web's, on one shape, in turns on one GPU. */
import type { SynthName } from '../src/convert/synth.ts'
import { machineFacts } from './machine.ts'
import { type BenchModel, benchModel, ownVersions } from './models.ts'
import { Subject } from './process.ts'
import { type GpuRatios, median, type Report, Results, ratio } from './results.ts'
import { type Contestant, takeTurns } from './rounds.ts'

export interface WebGpuBenchOptions {
  readonly rounds: number
  /** Measure onnxruntime-web too. */
  readonly peer: boolean
  readonly shape: SynthName
  /** Short prompts and few steps: shows on a GPU made of software that everything runs. */
  readonly quick: boolean
  /** Folder that models are kept in. */
  readonly cache: string
  readonly say: (text: string) => void
}

interface Sizes {
  /** Of decode, and of the prompt. */
  readonly context: number
  readonly shortContext: number
  readonly longContext: number
  readonly steps: number
  /** Bytes that the bandwidth is measured on: far more than any cache holds. */
  readonly readBytes: number
}

const FULL: Sizes = {
  context: 512,
  shortContext: 256,
  longContext: 8192,
  steps: 32,
  readBytes: 1024 ** 3,
}
const QUICK: Sizes = { context: 32, shortContext: 16, longContext: 64, steps: 2, readBytes: 16 * 1024 ** 2 }

const FACET = 'facet'
const ORT = 'ort-web-webgpu'
const GPU = 'gpu'
/** Sequences that decode together. */
const BATCH = 16

interface Run {
  readonly model: BenchModel
  readonly sizes: Sizes
  readonly results: Results
  /** Told the adapter's name. */
  readonly onAdapter: (name: string) => void
}

export async function benchWebGpu(options: WebGpuBenchOptions): Promise<Report<GpuRatios>> {
  const { rounds, peer, shape, quick, cache, say } = options
  const machine = machineFacts(ownVersions(['webgpu', 'onnxruntime-web']))
  const model = await benchModel(shape, cache, say)
  const results = new Results(say)
  let gpu = 'unknown'
  const run: Run = {
    model,
    sizes: quick ? QUICK : FULL,
    results,
    onAdapter: (name) => {
      gpu = name
    },
  }
  const makers = [bandwidth, facet, facetBatch, ...(peer ? [ortWebGpu] : [])]
  await takeTurns(
    makers.map((make) => () => [make(run)]),
    { rounds, say, results, vital: FACET },
  )
  return { machine: { gpu, ...machine }, model: model.facts, results: results.list(), ratios: ratiosOf(run) }
}

function bandwidth({ results, sizes }: Run): Contestant {
  const subject = new Subject('gpu-bandwidth', [])
  return {
    name: GPU,
    subject,
    load: async () => [],
    metrics: [['read_bandwidth', 'GB/s']],
    turns: [
      async () => {
        results.add(GPU, 'read_bandwidth', 'GB/s', (await subject.call('read', sizes.readBytes))[0]!)
      },
    ],
  }
}

function facet({ model, sizes, results, onAdapter }: Run): Contestant {
  const { context, shortContext, longContext, steps } = sizes
  const subject = new Subject('facet-webgpu', [model.directory])
  const decode = async (length: number): Promise<void> => {
    const ms = median(await subject.call('decode', length, 1, steps))!
    results.add(FACET, `decode_${length}`, 'ms/token', ms)
  }
  return {
    name: FACET,
    subject,
    load: async () => {
      // Room for the long sequence, and as much again for all others.
      const [ms] = await subject.call('load', 2, longContext + 3 * context)
      results.add(FACET, 'load', 'ms', ms!)
      onAdapter(await subject.call<string>('adapter'))
      return []
    },
    metrics: [],
    turns: [
      () => decode(context),
      async () => {
        const [ms] = await subject.call('prefill', context)
        results.add(FACET, `prefill_${context}`, 'tokens/s', (context / ms!) * 1000)
      },
      () => decode(shortContext),
      () => decode(longContext),
      async () => {
        const [bytes, ms] = await subject.call('costs', context, steps)
        results.add(FACET, 'read_back', 'bytes/step', bytes!)
        results.add(FACET, 'javascript', 'ms/step', ms!)
      },
      async () => {
        const times = await subject.call<Readonly<Record<string, number>>>('kernels', context)
        for (const [name, ms] of Object.entries(times)) {
          results.add(FACET, `kernel ${name}`, 'ms/token', ms)
        }
      },
    ],
  }
}

/** In a process of its own: kernels for sixteen sequences at once are compiled only for those who want them. */
function facetBatch({ model, sizes: { context, steps }, results }: Run): Contestant {
  const subject = new Subject('facet-webgpu', [model.directory])
  const metric = `decode_${context}_batch${BATCH}`
  return {
    name: FACET,
    subject,
    load: () => subject.call('load', BATCH, context + steps),
    metrics: [[metric, 'ms/token']],
    turns: [
      async () => {
        const ms = median(await subject.call('decode', context, BATCH, steps))!
        results.add(FACET, metric, 'ms/token', ms / BATCH)
      },
    ],
  }
}

function ortWebGpu({ model, sizes: { context, steps }, results }: Run): Contestant {
  const subject = new Subject('ort-webgpu', [model.directory])
  return {
    name: ORT,
    subject,
    load: () => subject.call('load'),
    metrics: [
      [`decode_${context}`, 'ms/token'],
      [`prefill_${context}`, 'tokens/s'],
    ],
    turns: [
      async () => {
        const ms = median(await subject.call('decode', context, 1, steps))!
        results.add(ORT, `decode_${context}`, 'ms/token', ms)
      },
      async () => {
        const [ms] = await subject.call('prefill', context)
        results.add(ORT, `prefill_${context}`, 'tokens/s', (context / ms!) * 1000)
      },
    ],
  }
}

function ratiosOf({ results, sizes, model }: Run): GpuRatios {
  const { context, shortContext, longContext } = sizes
  const ours = (metric: string): number | null => results.median(FACET, metric)
  const decode = ours(`decode_${context}`)
  const rate = results.median(GPU, 'read_bandwidth')
  const limitMs = rate === null ? null : model.facts.weightBytes / 1e6 / rate
  return {
    decode: {
      ortWebGpu: ratio(results.median(ORT, `decode_${context}`), decode),
      bandwidth: ratio(limitMs, decode),
    },
    prefill: { ortWebGpu: ratio(ours(`prefill_${context}`), results.median(ORT, `prefill_${context}`)) },
    longContext: ratio(ours(`decode_${shortContext}`), ours(`decode_${longContext}`)),
    batch16: ratio(decode, ours(`decode_${context}_batch${BATCH}`)),
  }
}
