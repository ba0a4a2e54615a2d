/** `npm run bench -- failover`: the failover scenarios in real time, Facet and its peers in the same run. */
import { setTimeout as sleep } from 'node:timers/promises'
import { healthy, Provider } from '../test/failover/provider.ts'
import {
  type Check,
  type Outcome,
  SCENARIOS,
  type Scenario,
  type Times,
  type Verdict,
  verdictOf,
} from '../test/failover/scenarios.ts'
import { type Entrant, entrants, Portkey } from './failover-subjects.ts'
import { peerVersions } from './models.ts'

/** Everybody is given these limits; the faults last well beyond them. */
const TIMES: Times = {
  retryAfterS: 1,
  firstTokenLimitMs: 1500,
  idleLimitMs: 1500,
  slowMs: 4000,
  stallMs: 4000,
  silenceMs: 10_000,
  keepaliveMs: 300,
  outageMs: 5000,
  everyMs: 500,
}
const HANG_MS = 12_000
/** For scenarios of many calls. */
const LONG_HANG_MS = 40_000

export interface Cell {
  readonly entrant: string
  readonly scenario: string
  readonly title: string
  readonly verdict: Verdict
  readonly hung: boolean
  readonly elapsedMs: number
  /** Requests that the primary and the fallback saw. */
  readonly primary: number
  readonly fallback: number
  readonly error?: string
  readonly failed: readonly string[]
}

export interface FailoverReport {
  readonly date: string
  readonly node: string
  readonly versions: Readonly<Record<string, string>>
  readonly times: Times
  readonly cells: readonly Cell[]
}

export async function benchFailover(say: (text: string) => void): Promise<FailoverReport> {
  const portkey = await Portkey.start()
  const cells: Cell[] = []
  try {
    for (const scenario of SCENARIOS) {
      for (const entrant of entrants(portkey.address)) {
        if (scenario.streams && !entrant.streams) continue
        const cell = await play(scenario, entrant)
        say(`${cell.scenario} ${cell.entrant}: ${cell.verdict}${cell.hung ? ' (hung)' : ''}`)
        cells.push(cell)
      }
    }
  } finally {
    portkey.stop()
  }
  const { openai, ai, '@portkey-ai/gateway': gateway } = peerVersions()
  return {
    date: new Date().toISOString(),
    node: process.version,
    versions: { openai: openai!, ai: ai!, portkey: gateway! },
    times: TIMES,
    cells,
  }
}

async function play(scenario: Scenario, entrant: Entrant): Promise<Cell> {
  const now = (): number => performance.now()
  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { ref: false })
  const primary = new Provider('primary', scenario.primary(TIMES, wait, now), now)
  const fallback = new Provider('fallback', scenario.fallback ?? healthy, now)
  const other = new Provider('other', healthy, now)
  await primary.start()
  await fallback.start()
  const subject = entrant.subject({ primary: primary.baseURL, fallback: fallback.baseURL }, TIMES)
  const stage = { times: TIMES, primary, fallback, other, subject, now, pass: (ms: number) => sleep(ms) }
  const startedMs = now()
  const limit = new AbortController()
  const hang = async (): Promise<Outcome> => {
    await sleep(scenario.drive ? LONG_HANG_MS : HANG_MS, undefined, { signal: limit.signal })
    return { ok: false, text: '', error: 'no end' }
  }
  try {
    const outcome = await Promise.race([scenario.drive?.(stage) ?? subject.ask(), hang()])
    const elapsedMs = Math.round(now() - startedMs)
    const hung = outcome.error === 'no end'
    const checks: Check[] = hung
      ? [{ name: 'ends', ok: false }]
      : ((await Promise.race([scenario.checks?.(stage, outcome, elapsedMs), hang().then(hungCheck)])) ?? [])
    return {
      entrant: entrant.name,
      scenario: scenario.id,
      title: scenario.title,
      verdict: verdictOf(scenario, outcome, checks),
      hung,
      elapsedMs,
      primary: primary.seen.length,
      fallback: fallback.seen.length,
      ...(outcome.error !== undefined && { error: outcome.error }),
      failed: checks.filter(({ ok }) => !ok).map(({ name }) => name),
    }
  } finally {
    limit.abort()
    for (const provider of [primary, fallback, other]) await provider.stop()
  }
}

const hungCheck = (): Check[] => [{ name: 'works afterwards', ok: false }]

const MARKS: Readonly<Record<Verdict, string>> = {
  pass: 'pass',
  partial: '(pass)',
  safe: 'safe',
  fail: 'FAIL',
}

export function toFailoverTable({ cells, versions }: FailoverReport): string {
  const names = [...new Set(cells.map(({ entrant }) => entrant))]
  const rows = SCENARIOS.map(({ id, title }) => [
    `${id} ${title}`,
    ...names.map((name) => {
      const cell = cells.find(({ entrant, scenario }) => entrant === name && scenario === id)
      if (!cell) return '-'
      return cell.hung ? 'FAIL (hangs)' : MARKS[cell.verdict]
    }),
  ])
  const totals = (['pass', 'partial', 'safe', 'fail'] as const).map((verdict) => [
    verdict,
    ...names.map((name) =>
      String(cells.filter((cell) => cell.entrant === name && cell.verdict === verdict).length),
    ),
  ])
  const all = [['scenario', ...names.map((name) => versioned(name, versions))], ...rows, ...totals]
  const widths = all[0]!.map((_, at) => Math.max(...all.map((row) => row[at]!.length)))
  return `${all
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')}\n`
}

function versioned(name: string, versions: FailoverReport['versions']): string {
  const version = versions[name]
  return version ? `${name} ${version}` : name
}
