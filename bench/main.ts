/**
 * `npm run bench -- engine [--rounds N] [--only PEER,PEER|none] [--quick] [--cache DIR] [--json]`: measures the engine.
 * `npm run bench -- http [--rounds N] [--quick] [--json]`: measures the HTTP layer.
 * `npm run bench -- failover [--json]`: what callers see of a provider that misbehaves, Facet and its peers.
 * `npm run bench -- client [--json]`: what a streamed token costs in the client, Facet and its peers.
 * `npm run bench -- chart`: draws bench/chart.svg from bench/results/engine.json.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { toChart } from './chart.ts'
import { benchHttp } from './edge.ts'
import { benchEngine, PEERS, type Peer } from './engine.ts'
import { CACHE, installPeers } from './models.ts'
import type { Report } from './results.ts'
import { toHttpTable, toTable } from './table.ts'

const USAGE = `Usage: npm run -s bench -- engine [options]
       npm run -s bench -- http [--rounds N] [--quick] [--json]
       npm run -s bench -- failover [--json]
       npm run -s bench -- client [--json]
       npm run -s bench -- chart

  --rounds N     times everything is measured (default: 5, with --quick 1)
  --only PEERS   of ${PEERS.join(', ')}, separated by commas; none: only Facet
  --quick        a small model: shows within a minute that everything runs
  --cache DIR    where the models are kept (default: bench/.cache)
  --json         one JSON object on standard output instead of tables
`

class UsageError extends Error {}

function peersFrom(only: string | undefined): readonly Peer[] {
  if (only === undefined) return PEERS
  if (only === 'none') return []
  return only.split(',').map((name) => {
    const peer = PEERS.find((each) => each === name)
    if (!peer) throw new UsageError(`--only must name ${PEERS.join(', ')} or none, but has ${name}.`)
    return peer
  })
}

function roundsFrom(text: string | undefined, quick: boolean): number {
  if (text === undefined) return quick ? 1 : 5
  const rounds = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (rounds < 1) throw new UsageError(`--rounds must be a whole number from 1 to 999, but is ${text}.`)
  return rounds
}

async function engine(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string' },
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      cache: { type: 'string', default: CACHE },
      json: { type: 'boolean', default: false },
    },
  })
  const report = await benchEngine({
    rounds: roundsFrom(values.rounds, values.quick),
    peers: peersFrom(values.only),
    quick: values.quick,
    cache: values.cache,
    say: teller(),
  })
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `\n${toTable(report)}`)
}

async function http(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const rounds = roundsFrom(values.rounds, values.quick)
  const report = await benchHttp({ rounds, quick: values.quick, say: teller() })
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `\n${toHttpTable(report)}`)
}

/** Says on standard error what happens, and when. */
function teller(): (text: string) => void {
  const startMs = performance.now()
  return (text) => {
    const seconds = Math.round((performance.now() - startMs) / 1000)
    process.stderr.write(`${String(seconds).padStart(5)} s  ${text}\n`)
  }
}

/** The benchmarks of the client are loaded only when asked for: their peers must be installed first. */
async function clientBench(name: 'failover' | 'client', args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false } } })
  const say = teller()
  installPeers(say)
  const { report, table } = name === 'failover' ? await failover(say) : await client(say)
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `\n${table}`)
}

async function failover(say: (text: string) => void): Promise<{ report: object; table: string }> {
  const { benchFailover, toFailoverTable } = await import('./failover.ts')
  const report = await benchFailover(say)
  return { report, table: toFailoverTable(report) }
}

async function client(say: (text: string) => void): Promise<{ report: object; table: string }> {
  const { benchClient, toClientTable } = await import('./client.ts')
  const report = await benchClient(say)
  return { report, table: toClientTable(report) }
}

function chart(): void {
  const report: Report = JSON.parse(readFileSync(new URL('results/engine.json', import.meta.url), 'utf8'))
  writeFileSync(new URL('chart.svg', import.meta.url), toChart(report))
}

/** 0: done. 1: it failed. 2: the command line is wrong. */
async function main([command, ...args]: readonly string[]): Promise<number> {
  try {
    if (command === 'engine') await engine([...args])
    else if (command === 'http') await http([...args])
    else if (command === 'failover' || command === 'client') await clientBench(command, [...args])
    else if (command === 'chart' && args.length === 0) chart()
    else
      throw new UsageError(command ? `There is no benchmark ${[command, ...args].join(' ')}.` : 'Say which.')
    return 0
  } catch (error) {
    const { message, code } = error as Error & { code?: string }
    const usage = error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS')
    process.stderr.write(usage ? `${message}\n\n${USAGE}` : `bench: ${message}\n`)
    return usage ? 2 : 1
  }
}

process.exitCode = await main(process.argv.slice(2))
