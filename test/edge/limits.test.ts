import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import type { Backend } from '../../src/types.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, COMPLETIONS, frames, HELLO, type Json, post } from './http.ts'

const errorOf = async (response: Response): Promise<Json> => (await response.json()).error

describe('limits of size', () => {
  it('refuse a prompt that is too long, whatever it is made of, before anything is computed', async () => {
    const backend = new FakeBackend()
    const app = createEdge({ backends: [backend], limits: { promptCharacters: 10 } })
    const long = await post(app, CHAT, { messages: [{ role: 'user', content: 'x'.repeat(11) }] })
    expect(long.status).toBe(413)
    expect(await errorOf(long)).toMatchObject({
      code: 'request_too_large',
      param: 'messages',
      message: 'messages is 11 characters long, but may be at most 10 here; send a shorter one.',
    })
    const ids = await post(app, COMPLETIONS, { prompt: Array(11).fill(5) })
    expect((await errorOf(ids)).message).toContain('prompt is 11 tokens long')
    expect(backend.requests).toEqual([])
    expect((await post(app, CHAT, { messages: [{ role: 'user', content: 'x'.repeat(10) }] })).status).toBe(
      200,
    )
  })

  it('cap answers that ask for no length, and refuse those that ask for more', async () => {
    const backend = new FakeBackend()
    const app = createEdge({ backends: [backend], limits: { outputTokens: 50 } })
    expect((await post(app, CHAT, HELLO)).status).toBe(200)
    expect((await post(app, CHAT, { ...HELLO, max_tokens: 50 })).status).toBe(200)
    expect(backend.requests.map(({ maxTokens }) => maxTokens)).toEqual([50, 50])
    const refused = await post(app, CHAT, { ...HELLO, max_tokens: 51 })
    expect(refused.status).toBe(400)
    expect(await errorOf(refused)).toMatchObject({
      param: 'max_tokens',
      message: 'max_tokens may be at most 50 here, but is 51.',
    })
  })

  it('refuse more choices than allowed', async () => {
    const app = createEdge({ backends: [new FakeBackend()], limits: { choices: 2 } })
    expect((await post(app, CHAT, { ...HELLO, n: 2 })).status).toBe(200)
    const refused = await post(app, CHAT, { ...HELLO, n: 3 })
    expect(refused.status).toBe(400)
    expect(await errorOf(refused)).toMatchObject({ param: 'n' })
  })
})

describe('the queue', () => {
  it('runs so many, lets so many wait in turn, and refuses the next at once with Retry-After', async () => {
    const door = gate()
    const backend = new FakeBackend({ before: () => door.passed })
    const app = createEdge({ backends: [backend], queue: { running: 1, waiting: 2 } })
    const waiting = [1, 2, 3].map(() => post(app, CHAT, HELLO))
    while ((await (await app.request('/stats')).json()).waiting < 2) await new Promise(setImmediate)
    const refused = await post(app, CHAT, HELLO)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await errorOf(refused)).code).toBe('queue_full')
    expect(backend.mostActive).toBe(1)
    door.open()
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200])
    expect(backend.mostActive).toBe(1)
    expect((await post(app, CHAT, HELLO)).status).toBe(200)
  })

  it('forgets who has left it, and gives the place of an answer that was left', async () => {
    const backend = new FakeBackend({ before: (step) => (step === 1 ? gate().passed : undefined) })
    const app = createEdge({ backends: [backend], queue: { running: 1, waiting: 1 } })
    const first = await post(app, CHAT, { ...HELLO, stream: true })
    const leaver = new AbortController()
    const second = post(app, CHAT, HELLO, { signal: leaver.signal })
    while ((await (await app.request('/stats')).json()).waiting < 1) await new Promise(setImmediate)
    leaver.abort()
    expect((await second).status).toBe(499)
    const third = post(app, CHAT, { ...HELLO, stream: true })
    await first.body!.cancel()
    expect((await third).status).toBe(200)
    expect(backend.requests).toHaveLength(2)
    await (await third).body!.cancel()
  })
})

describe('deadlines', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** Heeds no signal. */
  const deaf = (steps: readonly Promise<unknown>[]): Backend => ({
    name: 'deaf',
    model: { id: 'deaf' },
    async *chat() {
      yield { type: 'start', id: '1', model: 'deaf', backend: 'deaf' }
      for (const step of steps) {
        await step
        yield { type: 'text', text: 'x' }
      }
      yield { type: 'finish', reason: 'stop', usage: { promptTokens: 1, completionTokens: 1 } }
    },
  })
  const never = new Promise<void>(() => {})
  const timeouts = { firstTokenMs: 1000, idleMs: 2000, totalMs: 10_000 }

  it('end an answer whose first token is late, whatever the backend makes of it', async () => {
    const app = createEdge({ backends: [deaf([never])], timeouts })
    const pending = post(app, CHAT, HELLO)
    await vi.advanceTimersByTimeAsync(999)
    await vi.advanceTimersByTimeAsync(1)
    const response = await pending
    expect(response.status).toBe(504)
    expect((await errorOf(response)).message).toBe(
      'deaf gave no content within 1000 ms (timeouts.firstTokenMs).',
    )
  })

  it('end a stream that has stalled with an error, and without [DONE]', async () => {
    const app = createEdge({ backends: [deaf([Promise.resolve(), never])], timeouts })
    const stream = frames(await post(app, CHAT, { ...HELLO, stream: true }))
    await vi.advanceTimersByTimeAsync(2000)
    const last = (await stream).at(-1)
    expect(last.error).toMatchObject({ code: 'timeout', message: expect.stringContaining('idleMs') })
  })

  it('end an answer that takes too long altogether, even if it goes on and on', async () => {
    const ticks = Array.from({ length: 20 }, (_, i) =>
      i === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, 900 * i)),
    )
    const app = createEdge({ backends: [deaf(ticks)], timeouts })
    const stream = frames(await post(app, CHAT, { ...HELLO, stream: true }))
    await vi.advanceTimersByTimeAsync(10_000)
    const all = await stream
    expect(all.at(-1).error.message).toContain('totalMs')
    expect(all.length).toBeGreaterThan(10)
  })

  it('end an answer that nobody reads, and free its place', async () => {
    const backend = new FakeBackend({ pieces: Array(1000).fill('x') })
    const app = createEdge({ backends: [backend], timeouts })
    const { body } = await post(app, CHAT, { ...HELLO, stream: true })
    const reader = body!.getReader()
    await reader.read()
    expect(backend.active).toBe(1)
    await vi.advanceTimersByTimeAsync(2000)
    for (;;) if ((await reader.read()).done) break
    await backend.idle()
    expect(backend.steps).toBeLessThan(100)
  })
})
