import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { createClient } from '../../src/client/http.ts'
import { FacetError } from '../../src/errors.ts'
import type { ChatEvent } from '../../src/types.ts'
import { selfSigned } from './certificate.ts'
import { data, done, eventStream, fakeFetch, finish, text, usage } from './fake-server.ts'

const QUESTION = { messages: [{ role: 'user', content: 'hi' }] } as const
const BASE = 'http://127.0.0.1:1/v1'

/** Everything one answer gives when its bytes come in these pieces, and the code of what it throws. */
async function read(pieces: readonly Uint8Array[]): Promise<{ events: ChatEvent[]; code?: string }> {
  const body = new ReadableStream<Uint8Array>({
    start(control) {
      for (const piece of pieces) control.enqueue(piece)
      control.close()
    },
  })
  const { fetch } = fakeFetch(() => eventStream(body))
  const events: ChatEvent[] = []
  try {
    for await (const event of createClient({ baseURL: BASE, fetch }).chat(QUESTION)) events.push(event)
    return { events }
  } catch (error) {
    return { events, code: (error as FacetError).code }
  }
}

const bytes = (...pieces: readonly string[]): Uint8Array => new TextEncoder().encode(pieces.join(''))

const ANSWER: readonly ChatEvent[] = [
  { type: 'start', id: 'chatcmpl-1', model: 'tiny', backend: '127.0.0.1:1' },
  { type: 'text', text: 'größer' },
  { type: 'text', text: ' 😀 日本' },
  { type: 'finish', reason: 'stop', usage: { promptTokens: 3, completionTokens: 2 } },
]
const STREAM = [': hello\n\n', text('größer'), text(' 😀 日本'), ': ping\n\n', finish(), usage(3, 2), done]

describe('bytes of a stream', () => {
  it('may be cut at every byte, also inside a character', async () => {
    const whole = bytes(...STREAM)
    for (let at = 0; at <= whole.length; at++) {
      expect((await read([whole.slice(0, at), whole.slice(at)])).events, `cut at ${at}`).toEqual(ANSWER)
    }
    const single = Array.from(whole, (_, at) => whole.slice(at, at + 1))
    expect((await read(single)).events).toEqual(ANSWER)
  })

  it('may use CRLF or CR, comments and fields of no interest, and bring everything at once', async () => {
    const noisy = STREAM.map((piece) => `: comment\nid: 7\nretry: 10\nevent: message\n${piece}`).join('')
    for (const end of ['\n', '\r\n', '\r']) {
      expect((await read([bytes(noisy.replaceAll('\n', end))])).events).toEqual(ANSWER)
    }
  })

  it('may say finish twice: the first counts', async () => {
    const { events } = await read([bytes(text('a'), finish('length'), finish('stop'), usage(1, 1), done)])
    expect(events.filter(({ type }) => type === 'finish')).toEqual([
      { type: 'finish', reason: 'length', usage: { promptTokens: 1, completionTokens: 1 } },
    ])
  })

  it('that are no answer are refused: HTML, JSON cut short, or nothing but noise', async () => {
    const html = '<!doctype html>\n<html><body>data: 502 Bad Gateway</body></html>\n\n'
    expect(await read([bytes(html)])).toEqual({ events: [], code: 'bad_response' })
    expect(await read([bytes(text('a').slice(0, -8), '\n\n', done)])).toEqual({
      events: [],
      code: 'bad_response',
    })
    const cut = await read([bytes(text('a'), text('b').slice(0, -8), '\n\n', finish(), done)])
    expect([cut.events.length, cut.code]).toEqual([2, 'stream_interrupted'])
  })

  it('never make anything but events or a FacetError, whatever they are', async () => {
    const piece = fc.oneof(
      fc.constantFrom(...STREAM, 'data: ', '\n', '\r\n', 'data: null\n\n', 'data: []\n\n', 'event: error\n'),
      fc.json().map((json) => `data: ${json}\n\n`),
      fc.string(),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        const { events, code } = await read([bytes(...pieces)])
        const finishes = events.filter(({ type }) => type === 'finish').length
        expect(finishes).toBe(code === undefined ? 1 : 0)
        if (events.length > 0) expect(events[0]!.type).toBe('start')
        if (code !== undefined) expect(new FacetError(code as 'internal', '').status).toBeGreaterThan(0)
      }),
    )
  })
})

describe('servers', () => {
  const servers: Server[] = []

  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  })

  const listen = async (server: Server, scheme: string): Promise<string> => {
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  }

  const ask = async (baseURL: string): Promise<unknown> => {
    try {
      return await collect(createClient({ baseURL }).chat(QUESTION))
    } catch (error) {
      return error
    }
  }

  it('that redirect to themselves are asked once and named', async () => {
    let requests = 0
    const loop: RequestListener = (_, response) => {
      requests++
      response.writeHead(307, { location: '/v1/chat/completions' }).end()
    }
    expect(await ask(await listen(createServer(loop), 'http'))).toMatchObject({
      code: 'bad_response',
      message: expect.stringContaining('with a redirect; put the final address into baseURL'),
    })
    expect(requests).toBe(1)
  })

  it('whose certificate nobody vouches for are not told anything', async () => {
    let requests = 0
    const server = createSecureServer(selfSigned('127.0.0.1'), (_, response) => {
      requests++
      response.end()
    })
    const baseURL = await listen(server, 'https')
    expect(await ask(baseURL)).toMatchObject({
      code: 'connection_failed',
      retry: 'elsewhere',
      message: expect.stringContaining('is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)'),
    })
    expect(requests).toBe(0)
  })

  it('that send 200 with an error, or a page instead of a stream, are read for what they say', async () => {
    const cases: readonly [string, string, object][] = [
      [
        'application/json',
        '{"error": {"message": "Overloaded.", "type": "overloaded_error"}}',
        { code: 'unavailable', message: 'Overloaded.' },
      ],
      ['text/event-stream', data({ error: { message: 'No GPU left.', code: 503 } }), { code: 'unavailable' }],
      [
        'text/html',
        '<p>Sign in</p>',
        { code: 'bad_response', message: expect.stringContaining('text/html') },
      ],
      ['application/json', '{"choices": [', { code: 'bad_response' }],
    ]
    for (const [type, body, expected] of cases) {
      const server = createServer((_, response) =>
        response.writeHead(200, { 'content-type': type }).end(body),
      )
      // The server had taken the request.
      expect(await ask(await listen(server, 'http'))).toMatchObject({ ...expected, accepted: true })
    }
  })
})

describe('Retry-After', () => {
  it('is read as seconds or as a date by a clock that may have jumped, and ignored where it is nonsense', async () => {
    const nowMs = Date.UTC(2026, 0, 1)
    const cases: readonly [string, number | undefined][] = [
      ['3', 3000],
      ['Thu, 01 Jan 2026 00:00:20 GMT', 20_000],
      // A clock that runs a day late or early asks for a minute, or not at all.
      ['Fri, 02 Jan 2026 00:00:00 GMT', 60_000],
      ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
      ['-5', undefined],
      ['in a while', undefined],
      ['1e99', undefined],
      ['99999999999999999999', 60_000],
      ['', undefined],
    ]
    for (const [value, retryAfterMs] of cases) {
      const { fetch } = fakeFetch(() => Response.json({}, { status: 503, headers: { 'retry-after': value } }))
      const clock = { now: () => nowMs, ticks: () => 0, after: () => () => {} }
      const asked = collect(createClient({ baseURL: BASE, fetch, clock }).chat(QUESTION))
      await expect(asked, value).rejects.toMatchObject({ code: 'unavailable', retryAfterMs })
    }
  })
})
