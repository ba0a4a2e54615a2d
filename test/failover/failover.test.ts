import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { FakeClock } from '../client/fake-server.ts'
import { facetSubject } from './facet.ts'
import { healthy, Provider } from './provider.ts'
import { SCENARIOS, type Scenario, type Times, type Verdict, verdictOf } from './scenarios.ts'

const TIMES: Times = {
  retryAfterS: 2,
  firstTokenLimitMs: 10_000,
  idleLimitMs: 9000,
  slowMs: 20_000,
  stallMs: 30_000,
  silenceMs: 120_000,
  keepaliveMs: 4000,
  outageMs: 60_000,
  everyMs: 4000,
}

/** What has to pass on the clock, once the primary was asked, for a scenario to end. */
const WIND: Readonly<Record<string, (clock: FakeClock) => Promise<void>>> = {
  S01: (clock) => clock.expire(TIMES.retryAfterS * 1000),
  S06: (clock) => clock.expire(TIMES.firstTokenLimitMs),
  S07: (clock) => clock.expire(TIMES.firstTokenLimitMs),
  S09: (clock) => clock.expire(TIMES.idleLimitMs),
  E01: (clock) => keepalives(clock, TIMES.firstTokenLimitMs),
  E02: (clock) => keepalives(clock, TIMES.idleLimitMs),
}

/** Two keepalives within the limit, then the limit. */
async function keepalives(clock: FakeClock, limitMs: number): Promise<void> {
  await clock.waited(limitMs)
  // All words that came together are read.
  await setImmediate()
  await clock.expire(TIMES.keepaliveMs)
  await clock.expire(TIMES.keepaliveMs)
  clock.advance(limitMs - 2 * TIMES.keepaliveMs)
}

/** Where words have been delivered, honesty is all that is left: an error, and nothing sent twice. */
const AFTER_WORDS: ReadonlySet<string> = new Set(['S08', 'S09', 'S10', 'S14', 'E02'])

const providers: Provider[] = []

afterEach(async () => {
  for (const provider of providers.splice(0)) await provider.stop()
})

async function play(scenario: Scenario, commit: 'content' | 'finish'): Promise<Verdict> {
  const clock = new FakeClock()
  const now = (): number => clock.ticks()
  const wait = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))
  const start = async (model: string, fault = healthy, listen = true): Promise<Provider> => {
    const provider = new Provider(model, fault, now)
    providers.push(provider)
    if (listen) await provider.start()
    return provider
  }
  const primary = await start('primary', scenario.primary(TIMES, wait, now))
  const fallback = await start('fallback', scenario.fallback)
  const other = await start('other', healthy, false)
  const endpoints = { primary: primary.baseURL, fallback: fallback.baseURL }
  const subject = facetSubject(endpoints, TIMES, { commit, clock, random: () => 0 })
  const pass = async (ms: number): Promise<void> => clock.advance(ms)
  const stage = { times: TIMES, primary, fallback, other, subject, now, pass }
  const ended = scenario.drive?.(stage) ?? subject.ask()
  const wind = WIND[scenario.id]
  if (wind) await primary.requests(1).then(() => wind(clock))
  const outcome = await ended
  const checks = (await scenario.checks?.(stage, outcome, now())) ?? []
  const verdict = verdictOf(scenario, outcome, checks)
  if (verdict === 'fail' || verdict === 'partial') expect.soft({ outcome, checks }).toBe(verdict)
  return verdict
}

describe('the router, over real sockets', () => {
  // Who waits for the whole answer sees no words to leave at.
  const unstreamed = SCENARIOS.filter(({ streams }) => !streams)
  it.each(unstreamed)('passes $id, holding answers back until they are whole: $title', async (scenario) => {
    expect(await play(scenario, 'finish')).toBe('pass')
  })

  it.each(SCENARIOS)('passes $id, streaming: $title', async (scenario) => {
    expect(await play(scenario, 'content')).toBe(AFTER_WORDS.has(scenario.id) ? 'safe' : 'pass')
  })
})
