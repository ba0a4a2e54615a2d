import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { FacetError } from '../../src/errors.ts'
import { type BudgetOptions, type BudgetStore, budget, type Spent } from '../../src/route/budget.ts'
import { type Router, router } from '../../src/route/router.ts'
import { type Actor, actor, fails, SimulatedClock, says } from './simulation.ts'

const QUESTION = { messages: [{ role: 'user', content: 'x'.repeat(20) }], maxTokens: 5 } as const
const DAY_MS = 86_400_000
/** 5 tokens of prompt at 10 and 2 of answer at 100 for each million. */
const price = { prompt: 10, completion: 100 }
const COST = (5 * 10 + 2 * 100) / 1e6
const MOST = (5 * 10 + 5 * 100) / 1e6

function stage(
  options: Partial<BudgetOptions>,
  ...more: Actor[]
): { gemma: Router; now: { ms: number }; cloud: Actor } {
  const now = { ms: DAY_MS * 20_000 + 1000 }
  const cloud = actor('cloud', says('cloud'), { price })
  const limit = budget({ windowMs: DAY_MS, clock: { now: () => now.ms }, ...options })
  return { gemma: router([cloud, ...more], { budget: limit, random: () => 0 }), now, cloud }
}

const say = async (gemma: Router): Promise<string> => (await collect(gemma.chat(QUESTION))).text

describe('a budget', () => {
  it('refuses with figures once a request could overspend it, and allows it again in the next window', async () => {
    const { gemma, now, cloud } = stage({ money: COST * 2 + MOST })
    for (let n = 0; n < 3; n++) expect(await say(gemma)).toBe('cloud')
    await expect(say(gemma)).rejects.toMatchObject({
      code: 'budget_exceeded',
      status: 429,
      backend: 'cloud',
      message:
        "This request may cost 0.0006 of money, but 0.0008 of the budget's 0.0011 are spent; " +
        'wait 86399 s for the next window, or raise the budget.',
    })
    expect(cloud.calls).toHaveLength(3)
    now.ms += DAY_MS
    expect(await say(gemma)).toBe('cloud')
  })

  it('passes over a backend it cannot pay, to one that costs nothing', async () => {
    const { gemma } = stage({ money: MOST }, actor('edge', says('edge')))
    expect(await say(gemma)).toBe('cloud')
    expect(await say(gemma)).toBe('edge')
  })

  it('counts tokens of every ending: answered, failed and left', async () => {
    const { gemma } = stage({ tokens: 30 })
    for await (const { type } of gemma.chat(QUESTION)) if (type === 'text') break
    expect(await say(gemma)).toBe('cloud')
    expect(await say(gemma)).toBe('cloud')
    // Seven each, the first by an estimate.
    await expect(say(gemma)).rejects.toThrow(
      "This request may cost 10 of tokens, but 21 of the budget's 30 are spent",
    )
    const refused = actor(
      'cloud',
      fails(() => new FacetError('unavailable', 'Down.')),
      { price },
    )
    const free = router([refused], { budget: budget({ windowMs: DAY_MS, tokens: 10 }), random: () => 0 })
    for (let n = 0; n < 5; n++) await expect(say(free)).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('is not overspent by calls beside each other', async () => {
    const { gemma, cloud } = stage({ tokens: 35 })
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => say(gemma)))
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(cloud.calls).toHaveLength(3)
  })

  it('goes on where it was with the store that is given', async () => {
    const rows = new Map<string, Spent>()
    const store: BudgetStore = {
      async add(key, { tokens, money }) {
        const row = rows.get(key) ?? { tokens: 0, money: 0 }
        const sum = { tokens: row.tokens + tokens, money: row.money + money }
        rows.set(key, sum)
        return sum
      },
    }
    expect(await say(stage({ tokens: 16, store, name: 'team' }).gemma)).toBe('cloud')
    await expect(say(stage({ tokens: 16, store, name: 'team' }).gemma)).rejects.toMatchObject({
      code: 'budget_exceeded',
    })
    expect([...rows]).toEqual([['team:86400000:20000', { tokens: 7, money: expect.closeTo(COST, 9) }]])
    expect(await say(stage({ tokens: 16, store, name: 'other team' }).gemma)).toBe('cloud')
  })

  it('gets back what is reserved for a call that has ended meanwhile', async () => {
    const control = new AbortController()
    const sums: number[] = []
    let tokens = 0
    const store: BudgetStore = {
      async add(_, amount) {
        control.abort()
        await Promise.resolve()
        tokens += amount.tokens
        sums.push(tokens)
        return { tokens, money: 0 }
      },
    }
    const { gemma, cloud } = stage({ tokens: 100, store })
    const asked = collect(gemma.chat(QUESTION, { signal: control.signal }))
    await expect(asked).rejects.toMatchObject({ code: 'aborted' })
    await expect.poll(() => sums).toEqual([10, 0])
    expect(cloud.calls).toEqual([])
  })

  it('whose store fails once the answer is there costs nobody the answer, and says so to the telemetry', async () => {
    const broken = new Error('The database is gone.')
    let adds = 0
    const store: BudgetStore = {
      async add(_, amount) {
        if (++adds > 1) throw broken
        return amount
      },
    }
    const heard: unknown[] = []
    const telemetry = { unsettled: (_: object, error: unknown) => heard.push(error) }
    const cloud = actor('cloud', says('cloud'), { price })
    const gemma = router([cloud], { budget: budget({ windowMs: DAY_MS, tokens: 100, store }), telemetry })
    expect(await say(gemma)).toBe('cloud')
    expect(heard).toEqual([broken])
  })

  it('whose store hangs once the answer is there holds nobody beyond the time of the call', async () => {
    const clock = new SimulatedClock()
    let adds = 0
    const store: BudgetStore = { add: async (_, amount) => (++adds > 1 ? new Promise(() => {}) : amount) }
    const gemma = router([actor('cloud', says('cloud'))], {
      clock,
      timeouts: { totalMs: 5000 },
      budget: budget({ windowMs: DAY_MS, tokens: 100, store, clock }),
    })
    expect(await clock.run(say(gemma))).toBe('cloud')
    expect(clock.ticks()).toBe(5000)
  })

  it('that cannot be asked lets nothing be sent', async () => {
    const cause = new Error('The database is gone.')
    const store: BudgetStore = { add: () => Promise.reject(cause) }
    const { gemma, cloud } = stage({ tokens: 100, store })
    await expect(say(gemma)).rejects.toMatchObject({
      name: 'FacetError',
      code: 'unavailable',
      message: 'The budget could not be asked, so nothing was sent.',
      cause,
    })
    expect(cloud.calls).toEqual([])
  })

  it('names the option that is wrong', () => {
    expect(() => budget({ windowMs: 0 })).toThrow('windowMs must be a number greater than 0, but is 0.')
    expect(() => budget({ windowMs: 1, money: Number.NaN })).toThrow('money must be a number greater than 0')
  })
})
