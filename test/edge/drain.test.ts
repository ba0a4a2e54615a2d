import { describe, expect, it } from 'vitest'
import { createEdge, Drain } from '../../src/edge/app.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, frames, HELLO, type Json, post } from './http.ts'

function edge(backend: FakeBackend) {
  const drain = new Drain()
  return { drain, app: createEdge({ backends: [backend], drain }) }
}

describe('a server that ends', () => {
  it('lets what runs finish, and sends what comes elsewhere', async () => {
    const door = gate()
    const { app, drain } = edge(new FakeBackend({ before: (step) => (step === 1 ? door.passed : undefined) }))
    const stream = await post(app, CHAT, { ...HELLO, stream: true })
    const whole = post(app, CHAT, HELLO)
    expect(drain.running).toBe(2)
    const drained = drain.start(60_000)
    for (const response of [await post(app, CHAT, HELLO), await app.request('/readyz')]) {
      expect(response.status).toBe(503)
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(((await response.json()) as Json).error.message).toContain('The server is ending')
    }
    expect((await app.request('/healthz')).status).toBe(200)
    door.open()
    expect((await frames(stream)).at(-1)).toBe('[DONE]')
    expect((await whole).status).toBe(200)
    await drained
    expect(drain.running).toBe(0)
  })

  it('tells what has not finished at the deadline that it is cut: streams by an error, the rest by 503', async () => {
    const backend = new FakeBackend({ before: (step) => (step === 1 ? gate().passed : undefined) })
    const { app, drain } = edge(backend)
    const stream = frames(await post(app, CHAT, { ...HELLO, stream: true }))
    const whole = post(app, CHAT, HELLO)
    while (backend.active < 2) await new Promise(setImmediate)
    const drained = drain.start(1)
    expect((await stream).at(-1).error).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('before this answer was complete'),
    })
    expect((await whole).status).toBe(503)
    await drained
    await backend.idle()
    expect(backend.aborted).toBe(2)
  })

  it('is done at once when nothing runs', async () => {
    const { app, drain } = edge(new FakeBackend())
    expect((await post(app, CHAT, HELLO)).status).toBe(200)
    await (await post(app, CHAT, { ...HELLO, stream: true })).text()
    expect((await post(app, CHAT, {})).status).toBe(400)
    const left = await post(app, CHAT, { ...HELLO, stream: true })
    await left.body!.cancel()
    await drain.start(60_000)
    expect(drain.draining).toBe(true)
  })
})
