/** `npm run bench -- http`: Facet's HTTP layer against a bare stream on Hono, in turns on one machine. */
import { readFileSync } from 'node:fs'
import { machineFacts } from './machine.ts'
import { Subject } from './process.ts'
import { type HttpReport, median, Results, ratio, round } from './results.ts'
import { TOKENS_PER_SECOND } from './subjects/paced.ts'

export interface HttpOptions {
  readonly rounds: number
  /** Shows within seconds that everything runs. */
  readonly quick: boolean
  readonly say: (text: string) => void
}

const FACET = 'facet'
const BARE = 'bare hono'
const STREAMS = 200
/** Of an answer of which as many as possible are asked for. */
const SHORT_TOKENS = 20
const CONNECTIONS = 50

/** @throws Error when a process ends, or a request fails in such numbers that nothing can be measured */
export async function benchHttp({ rounds, quick, say }: HttpOptions): Promise<HttpReport> {
  const versions = Object.fromEntries(['hono', '@hono/node-server'].map((name) => [name, versionOf(name)]))
  const machine = machineFacts(versions)
  const results = new Results(say)
  const servers = new Map([
    [BARE, new Subject('bare-hono', [], ['--expose-gc'])],
    [FACET, new Subject('edge-server', [], ['--expose-gc'])],
  ])
  const client = new Subject('http-client', [])
  const requestRatios: number[] = []
  let heapRatio: number | null = null
  try {
    const ports = new Map<string, number>()
    for (const [name, server] of servers) ports.set(name, (await server.call('listen'))[0]!)
    const each = quick ? 4 : 60
    const ask = async (name: string): Promise<readonly number[]> =>
      client.call('requests', ports.get(name)!, CONNECTIONS, each, SHORT_TOKENS)
    const cpu = async (name: string): Promise<number> => (await servers.get(name)!.call('cpu'))[0]!
    // Compiled code and filled pools first.
    for (const name of servers.keys()) await ask(name)
    for (let i = 0; i < rounds; i++) {
      say(`round ${i + 1} of ${rounds}`)
      const speeds = new Map<string, number>()
      for (const name of i % 2 === 0 ? [BARE, FACET] : [FACET, BARE]) {
        const before = await cpu(name)
        const [perSecond, failed] = await ask(name)
        const perRequest = ((await cpu(name)) - before) / (CONNECTIONS * each)
        results.add(name, 'cpu_per_request', 'ms', perRequest)
        speeds.set(name, perSecond!)
        results.add(name, 'requests', '1/s', perSecond!)
        results.add(name, 'requests_failed', 'requests', failed!)
      }
      requestRatios.push(speeds.get(FACET)! / speeds.get(BARE)!)
      for (const name of servers.keys()) {
        const tokens = (quick ? 1 : 10) * TOKENS_PER_SECOND
        const [p50, p99, most, failed, missing] = await client.call(
          'streams',
          ports.get(name)!,
          STREAMS,
          tokens,
        )
        results.add(name, 'token_p50', 'ms', p50!)
        results.add(name, 'token_p99', 'ms', p99!)
        results.add(name, 'token_most', 'ms', most!)
        results.add(name, 'streams_failed', 'requests', failed!)
        results.add(name, 'tokens_missing', 'tokens', missing!)
      }
    }
    heapRatio = await memoryGrowth(servers.get(FACET)!, client, ports.get(FACET)!, quick, results)
  } finally {
    await Promise.all([client, ...servers.values()].map((subject) => subject.end()))
  }
  const ofFacet = (metric: string): number | null => results.median(FACET, metric)
  const [facet, bare] = [ofFacet('token_p99'), results.median(BARE, 'token_p99')]
  return {
    machine,
    results: results.list(),
    ratios: {
      requests: round(median(requestRatios)),
      cpu: ratio(results.median(BARE, 'cpu_per_request'), ofFacet('cpu_per_request')),
      tokenP99: ratio(facet, bare),
      heap: heapRatio === null ? null : round(heapRatio),
    },
  }
}

/** Memory after 10,000 more requests as a multiple of that before them. */
async function memoryGrowth(
  server: Subject,
  client: Subject,
  port: number,
  quick: boolean,
  results: Results,
): Promise<number | null> {
  const each = (quick ? 100 : 10_000) / CONNECTIONS
  const before = (await server.call('heap'))[0]!
  const [, failed] = await client.call('requests', port, CONNECTIONS, each, SHORT_TOKENS)
  const after = (await server.call('heap'))[0]!
  results.add(FACET, 'heap_before', 'bytes', before)
  results.add(FACET, 'heap_after', 'bytes', after)
  results.add(FACET, 'heap_failed', 'requests', failed!)
  return after / before
}

function versionOf(name: string): string {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')).version
}
