import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { type ErrorCode, FacetError, type FacetErrorOptions } from '../../src/errors.ts'
import type { RouterCallOptions, RouterOptions } from '../../src/route/options.ts'
import { type Pool, type Router, router } from '../../src/route/router.ts'
import type { Attempt, ChatEvent, Usage } from '../../src/types.ts'
import { actor, fails, finish, type Plot, SimulatedClock, says, start, text, USAGE } from './simulation.ts'

const QUESTION = { messages: [{ role: 'user', content: 'Where are my files?' }] } as const

const error =
  (code: ErrorCode, options: FacetErrorOptions = {}): (() => FacetError) =>
  () =>
    new FacetError(code, `It says ${code}.`, options)

interface Ended {
  readonly events: ChatEvent[]
  readonly text: string
  readonly error: FacetError | undefined
  readonly attempts: Attempt[]
  readonly usage: Usage
  readonly tookMs: number
}

/** A router on a clock of its own, and what its calls come to. */
function stage(
  pool: Pool,
  options: RouterOptions = {},
): { clock: SimulatedClock; gemma: Router; ask: (own?: RouterCallOptions) => Promise<Ended> } {
  const clock = (options.clock as SimulatedClock | undefined) ?? new SimulatedClock()
  const gemma = router(pool, { clock, random: () => 0.5, ...options })
  const call = async (own: RouterCallOptions = {}): Promise<Ended> => {
    const events: ChatEvent[] = []
    const attempts: Attempt[] = []
    const usages: Usage[] = []
    const startedMs = clock.ticks()
    let error: FacetError | undefined
    const hear = {
      onAttempt: (attempt: Attempt) => attempts.push(attempt),
      onUsage: (usage: Usage) => usages.push(usage),
    }
    try {
      for await (const event of gemma.chat(QUESTION, { ...hear, ...own })) events.push(event)
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(FacetError)
      error = thrown as FacetError
    }
    expect(usages).toHaveLength(1)
    const said = events.map((event) => (event.type === 'text' ? event.text : '')).join('')
    return { events, text: said, error, attempts, usage: usages[0]!, tookMs: clock.ticks() - startedMs }
  }
  return { clock, gemma, ask: (own) => clock.run(call(own)) }
}

const hangs: Plot = async function* ({ options }) {
  yield start('hangs')
  await new Promise((_, reject) => {
    options.signal!.addEventListener('abort', () => reject(options.signal!.reason))
  })
}

/** Heeds no signal. */
const ignores: Plot = async function* () {
  yield start('ignores')
  await new Promise(() => {})
}

describe('whom the router asks', () => {
  it('asks the first, and the second not at all, while the first answers', async () => {
    const [edge, cloud] = [actor('edge', says('edge', 'a', 'b')), actor('cloud', says('cloud'))]
    const { ask } = stage([edge, cloud])
    const { events, attempts, usage } = await ask()
    expect(events).toEqual([start('edge'), text('a'), text('b'), finish()])
    expect(attempts).toEqual([
      {
        backend: 'edge',
        number: 1,
        reason: 'first',
        outcome: 'answered',
        waitedMs: 0,
        firstTokenMs: 0,
        durationMs: 0,
        usage: USAGE,
      },
    ])
    expect(usage).toEqual(USAGE)
    expect(cloud.calls).toEqual([])
  })

  it('moves on where another backend may answer, and not where the request is at fault', async () => {
    const elsewhere = [
      'unavailable',
      'context_length_exceeded',
      'unauthorized',
      'model_not_found',
      'unsupported',
    ]
    for (const code of elsewhere as ErrorCode[]) {
      const edge = actor('edge', fails(error(code)))
      const { ask } = stage([edge, actor('cloud', says('cloud'))])
      const { text: said, attempts, error: none } = await ask()
      expect([said, none]).toEqual(['cloud', undefined])
      expect(attempts.map(({ backend, reason, outcome }) => [backend, reason, outcome])).toEqual([
        ['edge', 'first', 'failed'],
        ['cloud', 'fallback', 'answered'],
      ])
    }
    const cloud = actor('cloud', says('cloud'))
    const { ask } = stage([actor('edge', fails(error('invalid_request'))), cloud])
    expect((await ask()).error).toMatchObject({ code: 'invalid_request' })
    expect(cloud.calls).toEqual([])
  })

  it('asks the same again after 500, and after 429 as long as the server says', async () => {
    for (const [code, options, waitMs] of [
      ['internal', {}, 250],
      ['rate_limited', {}, 250],
      ['rate_limited', { retryAfterMs: 2000 }, 2000],
    ] as const) {
      const edge = actor('edge', fails(error(code, options), 1))
      const { ask } = stage([edge, actor('cloud', says('cloud'))])
      const { text: said, attempts, tookMs } = await ask()
      expect([said, tookMs]).toEqual(['recovered', waitMs])
      expect(attempts[1]).toMatchObject({ backend: 'edge', reason: 'retry', waitedMs: waitMs })
    }
  })

  it('does not wait long for one backend while another may answer', async () => {
    const edge = actor('edge', fails(error('rate_limited', { retryAfterMs: 20_000 }), 1))
    const { ask, clock } = stage([edge, actor('cloud', says('cloud'))])
    expect(await ask()).toMatchObject({ text: 'cloud', tookMs: 0 })
    // And leaves it alone for as long as it asked, in later calls too.
    expect(await ask()).toMatchObject({ text: 'cloud', tookMs: 0 })
    expect(edge.calls).toHaveLength(1)
    await clock.run(clock.sleep(20_000))
    expect(await ask()).toMatchObject({ text: 'recovered' })
  })

  it('waits a whole minute where nobody else is left, but never past its own deadline', async () => {
    const full = fails(error('rate_limited', { retryAfterMs: 60_000 }), 1)
    expect(await stage([actor('edge', full)]).ask()).toMatchObject({ text: 'recovered', tookMs: 60_000 })
    const hurried = stage([actor('edge', full)], { timeouts: { totalMs: 30_000 } })
    const { error: refused, tookMs } = await hurried.ask()
    expect(refused).toMatchObject({ code: 'rate_limited', retryAfterMs: 60_000 })
    expect(tookMs).toBe(0)
  })

  it('backs off by full jitter, from nothing to half a second, doubled with each attempt', async () => {
    const waits = async (random: number): Promise<number[]> => {
      const edge = actor('edge', fails(error('unavailable')))
      const { attempts } = await stage([edge], { random: () => random, attemptsPerBackend: 4 }).ask()
      return attempts.map(({ waitedMs }) => waitedMs)
    }
    expect(await waits(0)).toEqual([0, 0, 0, 0])
    expect(await waits(0.5)).toEqual([0, 250, 500, 1000])
    expect((await waits(0.999)).at(-1)).toBeLessThan(2000)
  })

  it('never makes more attempts than allowed, and says what each backend said', async () => {
    const names = ['a', 'b', 'c']
    const actors = names.map((name) => actor(name, fails(error('unavailable', { backend: name }))))
    const { error: failure, attempts } = await stage(actors, { maxAttempts: 5, attemptsPerBackend: 2 }).ask()
    expect(attempts.map(({ backend }) => backend)).toEqual(['a', 'b', 'c', 'a', 'b'])
    expect(failure).toMatchObject({ code: 'unavailable', retry: 'elsewhere' })
    expect(failure!.message).toBe(
      'No backend of router could answer. a: It says unavailable. b: It says unavailable. c: It says unavailable.',
    )
  })

  it('does not ask a backend again that had accepted the request, unless told to', async () => {
    const accepted = fails(error('bad_response', { accepted: true }), 1)
    const careful = stage([actor('edge', accepted)])
    expect((await careful.ask()).error).toMatchObject({ code: 'bad_response' })
    const eager = stage([actor('edge', accepted)], { retryAfterAcceptance: true })
    expect((await eager.ask()).text).toBe('recovered')
  })

  it('sends a request that names a model to the backends of that model', async () => {
    const small = actor('edge', says('edge'), { id: 'gemma-2b-it' })
    const large = actor('cloud', says('cloud'), { id: 'gemma-7b-it' })
    const { gemma } = stage([small, large])
    const answer = await collect(gemma.chat({ ...QUESTION, model: 'gemma-7b-it' }))
    expect([answer.text, small.calls.length]).toEqual(['cloud', 0])
    expect((await collect(gemma.chat({ ...QUESTION, model: 'other' }))).text).toBe('edge')
  })

  it('takes backends that come, and leaves those that go, between two attempts', async () => {
    const replacement = actor('new', says('new'))
    const pool: ReturnType<typeof actor>[] = []
    const old = actor('old', async function* () {
      yield* []
      pool.splice(0, 1, replacement)
      throw error('unavailable')()
    })
    pool.push(old)
    const { ask } = stage(() => pool)
    expect((await ask()).text).toBe('new')
    expect(old.calls).toHaveLength(1)
  })
})

describe('when the router gives up waiting', () => {
  it('moves on from a backend that sends no content, also from one that heeds no signal', async () => {
    for (const plot of [hangs, ignores]) {
      const { ask } = stage([actor('edge', plot), actor('cloud', says('cloud'))])
      const { text: said, tookMs, attempts } = await ask({ timeouts: { firstTokenMs: 700 } })
      expect([said, tookMs]).toEqual(['cloud', 700])
      expect(attempts[0]).toMatchObject({ outcome: 'failed', error: { code: 'timeout' }, durationMs: 700 })
    }
  })

  it('hands the limits on, so that the backend does not give up sooner', async () => {
    const edge = actor('edge', says('edge'))
    const { ask } = stage([edge], { timeouts: { firstTokenMs: 300_000 } })
    await ask({ timeouts: { idleMs: 90_000 } })
    expect(edge.calls[0]!.options.timeouts).toEqual({ firstTokenMs: 300_000, idleMs: 90_000 })
  })

  it('fails after the first word when the next one does not come, and asks nobody else', async () => {
    const stalls: Plot = async function* ({ options }) {
      yield start('edge')
      yield text('half')
      await new Promise((_, reject) => options.signal!.addEventListener('abort', reject))
    }
    const cloud = actor('cloud', says('cloud'))
    const { ask } = stage([actor('edge', stalls), cloud], { timeouts: { idleMs: 400 } })
    const { text: said, error: failure, tookMs, usage } = await ask()
    expect([said, tookMs]).toEqual(['half', 400])
    expect(failure).toMatchObject({ code: 'timeout', retry: 'never', backend: 'edge' })
    expect(usage).toMatchObject({ completionTokens: 1, estimated: true })
    expect(cloud.calls).toEqual([])
  })

  it('does not count the time that the caller takes', async () => {
    const { clock, gemma } = stage([actor('edge', says('edge', 'a', 'b', 'c'))], {
      timeouts: { idleMs: 100 },
    })
    const read = async (): Promise<number> => {
      let count = 0
      for await (const _ of gemma.chat(QUESTION)) {
        count++
        await clock.sleep(1000)
      }
      return count
    }
    expect(await clock.run(read())).toBe(5)
  })

  it('ends the whole call after its total, whoever is being asked or waited for', async () => {
    const { ask } = stage([actor('edge', hangs), actor('cloud', hangs)], {
      timeouts: { firstTokenMs: 600, totalMs: 1000 },
    })
    const { error: failure, tookMs } = await ask()
    expect(failure).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('did not finish within 1 s'),
    })
    expect(tookMs).toBe(1000)
  })

  it('is not disturbed when the wall clock jumps', async () => {
    const clock = new SimulatedClock()
    const jumps: Plot = async function* (own) {
      clock.offsetMs += own.n % 2 === 0 ? 3_600_000 : -7_200_000
      await clock.sleep(100, own.options.signal)
      yield* fails(error('unavailable'), 5, says('edge'))(own)
    }
    const { ask, gemma } = stage([actor('edge', jumps)], { clock, attemptsPerBackend: 6 })
    const { text: said, tookMs } = await ask()
    expect(said).toBe('edge')
    // Six attempts of 100 ms, four waits, and a last one that the open circuit did not lengthen.
    expect(tookMs).toBe(600 + 250 + 500 + 1000 + 2000 + 4000)
    expect(gemma.health().values().next().value!.latencyMs(0.5)).toBe(100)
  })
})

describe('after the first word', () => {
  it('fails where the backend fails, and asks nobody else', async () => {
    const breaks: Plot = async function* () {
      yield start('edge')
      yield text('half')
      throw error('unavailable')()
    }
    const ends: Plot = async function* () {
      yield start('edge')
      yield text('half')
    }
    for (const [plot, code] of [
      [breaks, 'unavailable'],
      [ends, 'stream_interrupted'],
    ] as const) {
      const cloud = actor('cloud', says('cloud'))
      const { text: said, error: failure, attempts } = await stage([actor('edge', plot), cloud]).ask()
      expect(said).toBe('half')
      expect(failure).toMatchObject({ code, retry: 'never' })
      expect(attempts).toMatchObject([{ outcome: 'failed' }])
      expect(cloud.calls).toEqual([])
    }
  })

  it('begins anew elsewhere where the whole answer is held back', async () => {
    const cut: Plot = async function* () {
      yield start('edge')
      yield text('half')
      throw error('stream_interrupted', { retry: 'never' })()
    }
    const { ask } = stage([actor('edge', cut), actor('cloud', says('cloud', 'whole'))])
    const { events, usage } = await ask({ commit: 'finish' })
    expect(events).toEqual([start('cloud'), text('whole'), finish()])
    // Both answers were paid for.
    expect(usage).toEqual({ promptTokens: 10, completionTokens: 3, estimated: true })
  })

  it('takes a stream that ends without a word for no answer', async () => {
    const empty: Plot = async function* () {
      yield start('edge')
    }
    const { ask } = stage([actor('edge', empty), actor('cloud', says('cloud'))])
    expect((await ask()).text).toBe('cloud')
  })
})

describe('stopping', () => {
  it('aborts before the call, while asked, while waiting to ask again, and between two words', async () => {
    const slow: Plot = async function* ({ options }) {
      yield* says('slow', 'a')({ n: 1, request: QUESTION, options })
    }
    expect((await stage([actor('edge', slow)]).ask({ signal: AbortSignal.abort() })).error).toMatchObject({
      code: 'aborted',
    })
    const points: readonly (readonly [string, Plot, number])[] = [
      ['while asked', hangs, 1],
      ['while waiting', fails(error('rate_limited', { retryAfterMs: 2000 })), 1],
      [
        'between two words',
        async function* (own) {
          yield start('edge')
          yield text('half')
          yield* hangs(own)
        },
        1,
      ],
    ]
    for (const [point, plot, calls] of points) {
      const control = new AbortController()
      const [edge, cloud] = [actor('edge', plot), actor('cloud', says('cloud'))]
      const { clock, ask } = stage([edge, cloud])
      clock.after(100, () => control.abort())
      const { error: failure, tookMs, attempts } = await ask({ signal: control.signal })
      expect(failure, point).toMatchObject({ code: 'aborted' })
      expect([tookMs, edge.calls.length, cloud.calls.length], point).toEqual([100, calls, 0])
      expect(attempts).toHaveLength(1)
    }
  })

  it('aborts at every moment of a call: nobody is asked afterwards, and nothing is left behind', async () => {
    // Three refusals, the waits after them, and words one by one.
    const call = async (abortMs: number): Promise<Ended & { late: number; active: number }> => {
      const clock = new SimulatedClock()
      const times: number[] = []
      const slow = (waitMs: number, then: Plot): Plot =>
        async function* (own) {
          times.push(clock.ticks())
          await clock.sleep(waitMs, own.options.signal)
          yield* then(own)
        }
      const words: Plot = async function* ({ options }) {
        yield start('full')
        for (let n = 0; n < 4; n++) {
          await clock.sleep(50, options.signal)
          yield text('word ')
        }
        yield finish()
      }
      const edge = actor('edge', slow(100, fails(error('internal'))))
      const full = actor('full', slow(30, fails(error('rate_limited', { retryAfterMs: 400 }), 1, words)))
      const control = new AbortController()
      const { ask, gemma } = stage([edge, full], { clock })
      clock.after(abortMs, () => control.abort())
      const ended = await ask({ signal: control.signal })
      const late = times.filter((ms) => ms > abortMs).length
      const active = [...gemma.health().values()].reduce((sum, each) => sum + each.active, 0)
      return { ...ended, late, active }
    }
    const whole = await call(1_000_000)
    expect(whole.text).toBe('word '.repeat(4))
    expect(whole.tookMs).toBeGreaterThan(700)
    for (let ms = 0; ms < whole.tookMs; ms += 10) {
      const { error: failure, late, active, tookMs, attempts } = await call(ms)
      expect(failure, `at ${ms} ms`).toMatchObject({ code: 'aborted' })
      expect([late, active, tookMs], `at ${ms} ms`).toEqual([0, 0, ms])
      expect(attempts.filter(({ outcome }) => outcome === 'cancelled').length).toBeLessThanOrEqual(1)
    }
  })

  it('stops the backend when the loop is left, counts what it said, and holds nothing against it', async () => {
    const { gemma } = stage([actor('edge', says('edge', 'a', 'b', 'c'))])
    const attempts: Attempt[] = []
    const usages: Usage[] = []
    const options = {
      onAttempt: (attempt: Attempt) => void attempts.push(attempt),
      onUsage: (usage: Usage) => void usages.push(usage),
    }
    for await (const { type } of gemma.chat(QUESTION, options)) if (type === 'text') break
    expect(attempts).toMatchObject([
      { outcome: 'cancelled', usage: { completionTokens: 1, estimated: true } },
    ])
    expect(usages).toMatchObject([{ promptTokens: 5, completionTokens: 1, estimated: true }])
    expect(gemma.health().values().next().value).toMatchObject({ active: 0, failureRate: 0, state: 'closed' })
  })
})

describe('circuits', () => {
  const broken = (until: () => boolean): Plot =>
    async function* (own) {
      if (until()) throw error('unavailable')()
      yield* says('edge')(own)
    }

  it('open after failures, are probed by one request at a time, and close when the probe is answered', async () => {
    let down = true
    const edge = actor(
      'edge',
      broken(() => down),
    )
    const { clock, gemma, ask } = stage([edge, actor('cloud', says('cloud'))])
    const health = () => gemma.health().get(edge)!
    for (let n = 0; n < 5; n++) await ask()
    expect(health()).toMatchObject({ state: 'open', failureRate: 1 })
    await ask()
    expect(edge.calls).toHaveLength(5)

    await clock.run(clock.sleep(5000))
    expect(health().state).toBe('half-open')
    const both = await clock.run(Promise.all([gemma, gemma].map((each) => collect(each.chat(QUESTION)))))
    expect(both.map(({ text: said }) => said)).toEqual(['cloud', 'cloud'])
    expect(edge.calls).toHaveLength(6)

    // The probe failed: twice as long.
    await clock.run(clock.sleep(9000))
    expect(health().state).toBe('open')
    await clock.run(clock.sleep(1000))
    down = false
    const { text: said, attempts } = await ask()
    expect([said, attempts[0]!.reason]).toEqual(['edge', 'probe'])
    expect(health()).toMatchObject({ state: 'closed', failureRate: 0 })
  })

  it('do not keep the last backend from being asked', async () => {
    const edge = actor('edge', fails(error('unavailable'), 6, says('edge')))
    const { ask } = stage([edge])
    expect((await ask()).error).toMatchObject({ code: 'unavailable' })
    await ask()
    expect((await ask()).text).toBe('edge')
  })

  it("stay closed for what is the request's fault", async () => {
    const edge = actor('edge', fails(error('context_length_exceeded')))
    const { gemma, ask } = stage([edge, actor('cloud', says('cloud'))])
    for (let n = 0; n < 10; n++) await ask()
    expect(gemma.health().get(edge)).toMatchObject({ state: 'closed', failureRate: 0 })
  })
})

describe('hedging', () => {
  it('asks a second backend once the first is slower than usual, and takes who is first', async () => {
    const clock = new SimulatedClock()
    const edge = actor('edge', async function* (own) {
      await clock.sleep(own.n <= 50 ? 100 : 60_000, own.options.signal)
      yield* says('edge')(own)
    })
    const cloud = actor('cloud', async function* (own) {
      await clock.sleep(30, own.options.signal)
      yield* says('cloud')(own)
    })
    const { ask } = stage([edge, cloud], { clock, hedge: true })
    for (let n = 0; n < 50; n++) await ask()
    expect(cloud.calls).toEqual([])
    const { text: said, tookMs, attempts, usage } = await ask()
    expect([said, tookMs]).toEqual(['cloud', 130])
    expect(attempts.map(({ backend, reason, outcome }) => [backend, reason, outcome])).toEqual([
      ['edge', 'first', 'cancelled'],
      ['cloud', 'hedge', 'answered'],
    ])
    expect(edge.calls[50]!.options.signal!.aborted).toBe(true)
    // The one that lost may have read the prompt.
    expect(usage).toEqual({ promptTokens: 10, completionTokens: 2, estimated: true })
  })
})

describe('what others hear', () => {
  it('tells a tracer of the call and its attempts, in order, with one object to key its spans by', async () => {
    const heard: unknown[] = []
    const calls = new Set<unknown>()
    const hear = (call: unknown, what: unknown): void => {
      calls.add(call)
      heard.push(what)
    }
    const { ask } = stage([actor('edge', fails(error('unavailable'))), actor('cloud', says('cloud'))], {
      telemetry: {
        callStarted: (call) => hear(call, ['call', call.router]),
        attemptStarted: (call, { backend, reason }) => hear(call, [backend, reason]),
        attemptEnded: (call, { outcome }) => hear(call, outcome),
        callEnded: (call, { error: failure, usage }) => hear(call, [failure, usage]),
      },
    })
    await ask()
    expect(heard).toEqual([
      ['call', 'router'],
      ['edge', 'first'],
      'failed',
      ['cloud', 'fallback'],
      'answered',
      [undefined, USAGE],
    ])
    expect(calls.size).toBe(1)
  })
})

describe('bad options', () => {
  it('get one sentence with the name of the option', () => {
    const edge = actor('edge', says('edge'))
    const make = (options: object) => () => router([edge], options)
    expect(() => router([])).toThrow('backends must be a list with at least one backend.')
    expect(make({ maxAttempts: -1 })).toThrow('maxAttempts must be a number of at least 0, but is -1.')
    expect(make({ hedge: { quantile: 'x' } })).toThrow('quantile must be a number of at least 0, but is x.')
    expect(make({ breaker: { openMs: Number.NaN } })).toThrow('openMs must be a number of at least 0')
    expect(make({ timeouts: { idleMs: 0 } })).toThrow('timeouts.idleMs must be a number of milliseconds')
  })
})
