import { describe, expect, it } from 'vitest'
import {
  type Bucket,
  createEdge,
  type Level,
  MemoryRates,
  type RateStore,
  toApiKeys,
} from '../../src/edge/app.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, COMPLETIONS, HELLO, type Json, post } from './http.ts'

const KEYS = await toApiKeys('alice:alice-0123456789abc, bob:bob-0123456789abcdef requests=1', 'KEYS')
const as = (name: 'alice' | 'bob'): RequestInit => ({
  headers: { authorization: `Bearer ${{ alice: 'alice-0123456789abc', bob: 'bob-0123456789abcdef' }[name]}` },
})

/** A store whose clock a test moves. */
function clocked(): { readonly store: MemoryRates; pass: (ms: number) => void } {
  let nowMs = 0
  return {
    store: new MemoryRates(() => nowMs),
    pass: (ms) => {
      nowMs += ms
    },
  }
}

describe('requests a minute', () => {
  it('are counted, told in the standard fields, refused beyond, and come back with time', async () => {
    const { store, pass } = clocked()
    const app = createEdge({ backends: [new FakeBackend()], rates: { store, requestsPerMinute: 2 } })
    const first = await post(app, CHAT, HELLO)
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=2;w=60')
    expect(first.headers.get('ratelimit')).toBe('"requests";r=1;t=30')
    expect((await post(app, CHAT, HELLO)).headers.get('ratelimit')).toBe('"requests";r=0;t=60')
    const refused = await post(app, CHAT, HELLO)
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('30')
    expect(refused.headers.get('ratelimit')).toBe('"requests";r=0;t=60')
    const { error }: Json = await refused.json()
    expect(error).toMatchObject({ code: 'rate_limited', type: 'rate_limit_error' })
    expect(error.message).toContain('2 requests a minute; try again in 30 s')
    pass(29_000)
    expect((await post(app, CHAT, HELLO)).headers.get('retry-after')).toBe('1')
    pass(1_000)
    expect((await post(app, CHAT, HELLO)).status).toBe(200)
    pass(3_600_000)
    expect((await post(app, CHAT, HELLO)).headers.get('ratelimit')).toBe('"requests";r=1;t=30')
  })

  it('belong to a key, which may have its own number', async () => {
    const { store } = clocked()
    const app = createEdge({
      backends: [new FakeBackend()],
      keys: KEYS,
      rates: { store, requestsPerMinute: 2 },
    })
    expect((await post(app, CHAT, HELLO, as('bob'))).status).toBe(200)
    expect((await post(app, CHAT, HELLO, as('bob'))).status).toBe(429)
    expect((await post(app, CHAT, HELLO, as('alice'))).status).toBe(200)
    expect((await post(app, CHAT, HELLO, as('alice'))).status).toBe(200)
    expect((await post(app, CHAT, HELLO, as('alice'))).status).toBe(429)
  })

  it('are not used up by looking at the models or without a key', async () => {
    const { store } = clocked()
    const app = createEdge({
      backends: [new FakeBackend()],
      keys: KEYS,
      rates: { store, requestsPerMinute: 1 },
    })
    expect((await app.request('/v1/models', as('alice'))).status).toBe(200)
    expect((await post(app, CHAT, HELLO)).status).toBe(401)
    expect((await post(app, CHAT, HELLO, as('alice'))).status).toBe(200)
  })

  it('limit looking at models and fetching their files as well', async () => {
    const { store } = clocked()
    const app = createEdge({ backends: [new FakeBackend()], rates: { store, requestsPerMinute: 2 } })
    const first = await app.request('/v1/models')
    expect(first.headers.get('ratelimit')).toBe('"requests";r=1;t=30')
    expect((await app.request('/model/none.json')).headers.get('ratelimit')).toBe('"requests";r=0;t=60')
    expect((await app.request('/v1/models')).status).toBe(429)
    expect((await app.request('/model/facet.json')).status).toBe(429)
    expect((await post(app, CHAT, HELLO)).status).toBe(200)
  })
})

describe('tokens a minute', () => {
  it('are charged when they are known, streamed or not, and what is owed has to fill first', async () => {
    const { store, pass } = clocked()
    // An answer of the fake takes 5 and 3 tokens.
    const app = createEdge({ backends: [new FakeBackend()], rates: { store, tokensPerMinute: 12 } })
    const first = await post(app, CHAT, HELLO)
    expect(first.headers.get('ratelimit')).toBe('"tokens";r=12;t=0')
    const second = await post(app, CHAT, { ...HELLO, stream: true })
    expect(second.headers.get('ratelimit')).toBe('"tokens";r=4;t=40')
    await second.text()
    // 4 owed: 25 s until one is there.
    const third = await post(app, CHAT, HELLO)
    expect(third.status).toBe(429)
    expect(third.headers.get('retry-after')).toBe('25')
    pass(25_000)
    expect((await post(app, CHAT, HELLO)).status).toBe(200)
  })

  it('are set aside for answers that run, so that they cannot be spent twice', async () => {
    const { store } = clocked()
    const door = gate()
    const backend = new FakeBackend({ before: () => door.passed })
    const app = createEdge({ backends: [backend], rates: { store, tokensPerMinute: 50 } })
    // 2 of the prompt and at most 40 of the answer, which takes 3 in the end.
    const running = post(app, CHAT, { ...HELLO, max_tokens: 40 })
    while (backend.active === 0) await new Promise((resolve) => setImmediate(resolve))
    const second = post(app, CHAT, { ...HELLO, max_tokens: 40 })
    while (backend.active === 1) await new Promise((resolve) => setImmediate(resolve))
    expect((await post(app, CHAT, { ...HELLO, max_tokens: 1 })).status).toBe(429)
    door.open()
    expect([(await running).status, (await second).status]).toEqual([200, 200])
    const { headers } = await post(app, CHAT, HELLO)
    expect(headers.get('ratelimit')).toMatch(/^"tokens";r=34;/)
  })

  it('are set aside for the longest answer the context leaves where a request names no number', async () => {
    const asked: number[] = []
    const full = new MemoryRates()
    const store: RateStore = {
      take: (bucket, amount) => full.take(bucket, amount),
      charge: (bucket, amount) => {
        asked.push(amount)
        return full.charge(bucket, amount)
      },
    }
    const options = { backends: [new FakeBackend()], rates: { store, tokensPerMinute: 1000 } }
    await post(createEdge(options), CHAT, { ...HELLO, n: 2 })
    await post(createEdge({ ...options, limits: { outputTokens: 10 } }), CHAT, HELLO)
    await post(createEdge(options), COMPLETIONS, { prompt: [1, 2, 3], max_tokens: 1000 })
    expect(asked).toEqual([128, 16 - 128, 12, 8 - 12, 64, 8 - 64])
  })

  it('of an answer the client left are those that were sent', async () => {
    const { store } = clocked()
    const app = createEdge({ backends: [new FakeBackend()], rates: { store, tokensPerMinute: 12 } })
    const left = await post(app, CHAT, { ...HELLO, stream: true })
    const reader = left.body!.getReader()
    await reader.read()
    await reader.read()
    await reader.cancel()
    const { headers } = await post(app, CHAT, HELLO)
    expect(Number(/r=(\d+)/.exec(headers.get('ratelimit')!)![1])).toBeLessThan(12)
  })
})

it('asks a store that is plugged in, and says when that fails', async () => {
  const asked: string[] = []
  const level: Level = { taken: true, remaining: 7, waitMs: 0, fullMs: 1000 }
  const failures: string[] = []
  const store: RateStore = {
    take: async ({ name }: Bucket, amount) => {
      asked.push(`take ${amount} ${name}`)
      return level
    },
    charge: async ({ name }: Bucket, amount) => {
      asked.push(`charge ${amount} ${name}`)
      throw new Error('store away')
    },
  }
  const app = createEdge({
    backends: [new FakeBackend()],
    rates: { store, requestsPerMinute: 10, tokensPerMinute: 100 },
    report: ({ message }) => failures.push(message),
  })
  expect((await post(app, CHAT, HELLO)).headers.get('ratelimit')).toBe('"tokens";r=7;t=1, "requests";r=7;t=1')
  expect(asked).toEqual([
    'take 0 everybody tokens',
    'take 1 everybody requests',
    'charge 64 everybody tokens',
    'charge 8 everybody tokens',
  ])
  await new Promise((resolve) => setImmediate(resolve))
  expect(failures).toEqual(Array(2).fill(expect.stringContaining('store away')))
})
