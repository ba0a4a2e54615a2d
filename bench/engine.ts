/** `npm run bench -- engine`: Facet's engine against its peers, on one shape, in turns on one machine. */
import { availableParallelism } from 'node:os'
import { planMemory } from '../src/gemma/memory-plan.ts'
import { bundleSubject } from './bundle.ts'
import { startServer } from './http.ts'
import { machineFacts } from './machine.ts'
import { type BenchModel, benchModel, installPeers, peerVersions } from './models.ts'
import { Subject } from './process.ts'
import { median, type Ratios, type Report, Results, ratio } from './results.ts'
import { type Contestant, takeTurns } from './rounds.ts'

export const PEERS = ['ort-web', 'wllama', 'llama.cpp'] as const
export type Peer = (typeof PEERS)[number]

export interface EngineBenchOptions {
  readonly rounds: number
  readonly peers: readonly Peer[]
  /** A small shape and short prompts: shows within a minute that everything runs. */
  readonly quick: boolean
  /** Folder that models are kept in. */
  readonly cache: string
  readonly say: (text: string) => void
}

interface Sizes {
  readonly context: number
  readonly longContext: number
  readonly prompt: number
  /** wllama takes minutes for a longer one. */
  readonly wllamaPrompt: number
  readonly prefix: number
  readonly steps: number
}

const FULL: Sizes = {
  context: 256,
  longContext: 4096,
  prompt: 512,
  wllamaPrompt: 64,
  prefix: 1000,
  steps: 16,
}
const QUICK: Sizes = { ...FULL, longContext: 1024, prefix: 320, steps: 8 }

const FACET = 'facet'
/** Positions of the cache of the process whose memory is measured. */
const MEMORY_CONTEXT = 1024

export async function benchEngine({ rounds, peers, quick, cache, say }: EngineBenchOptions): Promise<Report> {
  const machine = machineFacts(peerVersions())
  if (peers.length > 0) installPeers(say)
  const model = await benchModel(quick ? 'tiny' : 'gemma-2b', cache, say)
  const subject = await bundleSubject(FACET, cache)
  const run: Run = { model, subject, sizes: quick ? QUICK : FULL, rounds, say, results: new Results(say) }
  // Alone first: what is measured here wants the machine's memory and disk cache for itself.
  await measureLoading(run)
  await measureServer(run)
  await measureSpeed(run, peers)
  return { machine, model: model.facts, results: run.results.list(), ratios: ratiosOf(run) }
}

interface Run {
  readonly model: BenchModel
  /** Facet, ready to run. */
  readonly subject: URL
  readonly sizes: Sizes
  readonly rounds: number
  readonly say: (text: string) => void
  readonly results: Results
}

/** Fresh processes: the least a loader can do, then ours. The first of ours also fills its cache. */
async function measureLoading({ model, subject, rounds, say, results }: Run): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    say(`loading, round ${round + 1} of ${rounds}`)
    const floor = new Subject('floor', [model.data])
    try {
      results.add('read and hash', 'load', 'ms', (await floor.call('load'))[0]!)
    } finally {
      await floor.end()
    }
    const facet = new Subject(subject, [model.directory])
    try {
      results.add(FACET, 'load', 'ms', (await facet.call('load', 1, MEMORY_CONTEXT))[0]!)
      if (round > 0) continue
      say('filling the cache of a fresh process for its peak memory')
      await facet.call('prefill', MEMORY_CONTEXT)
      results.add(FACET, 'peak_memory', 'bytes', (await facet.call('peak'))[0]!)
      const kv = planMemory(model.config, {
        quantization: null,
        contextTokens: MEMORY_CONTEXT,
        kvElementBytes: 4,
      })
      results.add('file and KV', 'peak_memory', 'bytes', model.facts.fileBytes + kv.kv.total)
    } finally {
      await facet.end()
    }
  }
}

async function measureServer({ rounds, say, results }: Run): Promise<void> {
  say('the sample model behind facet serve')
  const server = await startServer()
  try {
    for (let i = 0; i < 4 * rounds; i++) {
      results.add(FACET, 'sample_first_token_http', 'ms', await server.firstToken())
    }
  } finally {
    await server.end()
  }
}

async function measureSpeed(run: Run, peers: readonly Peer[]): Promise<void> {
  const { say, results, rounds } = run
  const makers: Readonly<Record<Peer, (run: Run) => Contestant[]>> = {
    'ort-web': (each) => [ortWeb(each)],
    wllama: (each) => [wllama(each)],
    'llama.cpp': (each) => [llamaCpp(each, 1), llamaCpp(each, availableParallelism())],
  }
  const ours = (): Contestant[] => [memory(run), facet(run)]
  await takeTurns([ours, ...peers.map((peer) => () => makers[peer](run))], {
    rounds,
    say,
    results,
    vital: FACET,
  })
}

function memory({ results }: Run): Contestant {
  const subject = new Subject('bandwidth', [])
  const ways = ['one stream', 'four streams', 'native search']
  return {
    name: 'memory',
    subject,
    load: async () => [],
    metrics: [['read_bandwidth', 'GB/s']],
    turns: [
      async () => {
        for (const [i, rate] of (await subject.call('read')).entries()) {
          results.add(`memory, ${ways[i]}`, 'read_bandwidth', 'GB/s', rate)
        }
      },
    ],
  }
}

function facet({ model, subject: bundle, sizes, results }: Run): Contestant {
  const { context, longContext, prompt, prefix, steps } = sizes
  const subject = new Subject(bundle, [model.directory])
  const decode = async (length: number, count: number, metric: string): Promise<void> => {
    const ms = median(await subject.call('decode', length, count, steps))!
    results.add(FACET, metric, 'ms/token', ms / count)
  }
  return {
    name: FACET,
    subject,
    load: () =>
      subject.call('load', SEQUENCES, Math.ceil((longContext + prefix + 4 * context) / SEQUENCES) + 256),
    metrics: [
      [`decode_${context}`, 'ms/token'],
      [`prefill_${prompt}`, 'tokens/s'],
      [`decode_${longContext}`, 'ms/token'],
      [`decode_${context}_batch4`, 'ms/token'],
      [`first_token_${prefix}`, 'ms'],
    ],
    turns: [
      () => decode(context, 1, `decode_${context}`),
      async () => {
        const [ms] = await subject.call('prefill', prompt)
        results.add(FACET, `prefill_${prompt}`, 'tokens/s', (prompt / ms!) * 1000)
      },
      () => decode(longContext, 1, `decode_${longContext}`),
      () => decode(context, 4, `decode_${context}_batch4`),
      async () => {
        const [cold, seen] = await subject.call('prefix', prefix)
        results.add(FACET, `first_token_${prefix}_cold`, 'ms', cold!)
        results.add(FACET, `first_token_${prefix}_seen`, 'ms', seen!)
      },
    ],
  }
}

/** Open at once: a long one, four short ones, a prompt, and the scheduler's. */
const SEQUENCES = 8

function ortWeb({ model, sizes: { context }, results }: Run): Contestant {
  const subject = new Subject('ort-web', [model.directory])
  const metric = `decode_${context}`
  return {
    name: 'ort-web',
    subject,
    load: () => subject.call('load'),
    metrics: [[metric, 'ms/token']],
    turns: [
      async () => {
        results.add('ort-web', metric, 'ms/token', median(await subject.call('decode', context, 2))!)
      },
    ],
  }
}

function llamaCpp({ model, sizes: { context, prompt, steps }, results }: Run, threads: number): Contestant {
  const subject = new Subject('llama-cpp', [model.gguf()])
  const name = `llama.cpp, ${threads} thread${threads === 1 ? '' : 's'}`
  return {
    name,
    subject,
    load: () => subject.call('load', threads),
    metrics: [
      [`decode_${context}`, 'ms/token'],
      [`prefill_${prompt}`, 'tokens/s'],
    ],
    turns: [
      async () => {
        const ms = median(await subject.call('decode', context, steps))!
        results.add(name, `decode_${context}`, 'ms/token', ms)
      },
      async () => {
        const [ms] = await subject.call('prefill', prompt)
        results.add(name, `prefill_${prompt}`, 'tokens/s', (prompt / ms!) * 1000)
      },
    ],
  }
}

function wllama({ model, sizes: { wllamaPrompt }, results }: Run): Contestant {
  const subject = new Subject('wllama', [model.gguf()])
  const decode = `decode_${wllamaPrompt}`
  const prefill = `prefill_${wllamaPrompt}`
  return {
    name: 'wllama',
    subject,
    load: () => subject.call('load'),
    metrics: [
      [decode, 'ms/token'],
      [prefill, 'tokens/s'],
    ],
    turns: [
      async (round) => {
        if (round === 0) {
          const [tokens, ms] = await subject.call('prefill', wllamaPrompt)
          results.add('wllama', prefill, 'tokens/s', (tokens! / ms!) * 1000)
        }
        const [ms] = await subject.call('decode', wllamaPrompt, 4)
        results.add('wllama', decode, 'ms/token', ms!)
      },
    ],
  }
}

function ratiosOf({ results, sizes, model }: Run): Ratios {
  const { context, longContext, prompt, wllamaPrompt, prefix } = sizes
  const ours = (metric: string): number | null => results.median(FACET, metric)
  const best = (metric: string, pick: (...values: number[]) => number, engines: readonly string[]) => {
    const found = engines.map((engine) => results.median(engine, metric)).filter((value) => value !== null)
    return found.length > 0 ? pick(...found) : null
  }
  const llama = [...new Set([1, availableParallelism()])].map(
    (n) => `llama.cpp, ${n} thread${n === 1 ? '' : 's'}`,
  )
  const reading = ['one stream', 'four streams', 'native search'].map((way) => `memory, ${way}`)
  const bandwidth = best('read_bandwidth', Math.max, reading)
  const decode = ours(`decode_${context}`)
  const prefill = ours(`prefill_${prompt}`)
  const limitMs = bandwidth === null ? null : model.facts.weightBytes / 1e6 / bandwidth
  return {
    decode: {
      ortWeb: ratio(results.median('ort-web', `decode_${context}`), decode),
      wllama: ratio(results.median('wllama', `decode_${wllamaPrompt}`), decode),
      llamaCpp: ratio(best(`decode_${context}`, Math.min, llama), decode),
      bandwidth: ratio(limitMs, decode),
    },
    prefill: {
      wllama: ratio(prefill, results.median('wllama', `prefill_${wllamaPrompt}`)),
      llamaCpp: ratio(prefill, best(`prefill_${prompt}`, Math.max, llama)),
    },
    longContext: ratio(decode, ours(`decode_${longContext}`)),
    batch4: ratio(decode, ours(`decode_${context}_batch4`)),
    prefixHit: ratio(ours(`first_token_${prefix}_seen`), ours(`first_token_${prefix}_cold`)),
    peakMemory: ratio(ours('peak_memory'), results.median('file and KV', 'peak_memory')),
    load: ratio(ours('load'), results.median('read and hash', 'load')),
  }
}
