import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { createClient } from '../../src/client/http.ts'
import type { ChatEvent } from '../../src/types.ts'
import { done, FakeClock, finish, text, usage } from './fake-server.ts'

const QUESTION = { messages: [{ role: 'user', content: 'hi' }] } as const
const closers: (() => Promise<void>)[] = []

async function serve(listener: RequestListener): Promise<{ baseURL: string; close(): Promise<void> }> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  closers.push(close)
  return { baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, close }
}

const sse = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { 'content-type': 'text/event-stream' })

afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

describe('over real sockets', () => {
  it('streams an answer, with keepalives between', async () => {
    const { baseURL } = await serve((_, response) => {
      sse(response).write(': keepalive\n\n')
      for (const piece of [text('grüß'), ': keepalive\n\n', text(' 😀'), finish(), usage(1, 2), done]) {
        response.write(piece)
      }
      response.end()
    })
    expect(await collect(createClient({ baseURL }).chat(QUESTION))).toEqual({
      text: 'grüß 😀',
      finishReason: 'stop',
      usage: { promptTokens: 1, completionTokens: 2 },
    })
  })

  it('names a refused connection', async () => {
    const { baseURL, close } = await serve(() => {})
    await close()
    await expect(collect(createClient({ baseURL }).chat(QUESTION))).rejects.toMatchObject({
      code: 'connection_failed',
      message: `Could not reach ${new URL(baseURL).origin} (ECONNREFUSED); is the server running there?`,
    })
  })

  it('throws stream_interrupted when the connection is cut in the middle, and when it just ends', async () => {
    for (const end of ['destroy', 'end'] as const) {
      const { baseURL } = await serve((_, response) => {
        sse(response).write(text('half'), () => response[end]())
      })
      const events: ChatEvent[] = []
      const reading = (async () => {
        for await (const event of createClient({ baseURL }).chat(QUESTION)) events.push(event)
      })()
      await expect(reading).rejects.toMatchObject({ code: 'stream_interrupted' })
      expect(events.map(({ type }) => type)).toEqual(['start', 'text'])
    }
  })

  it('throws bad_response on an empty stream and on another content type', async () => {
    const empty = await serve((_, response) => sse(response).end())
    await expect(collect(createClient(empty).chat(QUESTION))).rejects.toMatchObject({ code: 'bad_response' })
    const html = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
    )
    await expect(collect(createClient(html).chat(QUESTION))).rejects.toMatchObject({ code: 'bad_response' })
  })

  it('hands on 429 with Retry-After', async () => {
    const { baseURL } = await serve((_, response) => {
      response.writeHead(429, { 'retry-after': '3', 'content-type': 'application/json' })
      response.end(JSON.stringify({ error: { message: 'Full.', code: 'queue_full' } }))
    })
    await expect(collect(createClient({ baseURL }).chat(QUESTION))).rejects.toMatchObject({
      code: 'queue_full',
      retryAfterMs: 3000,
      message: 'Full.',
    })
  })

  it('closes the connection of a stalled answer when its time is over', async () => {
    const closed = Promise.withResolvers<void>()
    const { baseURL } = await serve((_, response) => {
      response.on('close', closed.resolve)
      sse(response).write(text('half'))
    })
    const clock = new FakeClock()
    const client = createClient({ baseURL, clock, timeouts: { idleMs: 300 } })
    const answer = collect(client.chat(QUESTION))
    const thrown = expect(answer).rejects.toMatchObject({ code: 'timeout' })
    await clock.expire(300)
    await thrown
    await closed.promise
  })

  it('closes the connection when the loop is left or the signal aborts', async () => {
    for (const how of ['leave', 'abort']) {
      const closed = Promise.withResolvers<void>()
      const { baseURL } = await serve((_, response) => {
        response.on('close', closed.resolve)
        sse(response).write(text('half'))
      })
      const control = new AbortController()
      const read = async (): Promise<void> => {
        for await (const { type } of createClient({ baseURL }).chat(QUESTION, { signal: control.signal })) {
          if (type !== 'text') continue
          if (how === 'leave') return
          control.abort()
        }
      }
      if (how === 'leave') await read()
      else await expect(read()).rejects.toMatchObject({ code: 'aborted' })
      await closed.promise
    }
  })
})
