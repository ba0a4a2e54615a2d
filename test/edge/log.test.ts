import { describe, expect, it } from 'vitest'
import { createEdge, type EdgeOptions, type LogEntry, toApiKeys } from '../../src/edge/app.ts'
import { FacetError } from '../../src/errors.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, HELLO, post } from './http.ts'

const SECRET = 'a question nobody else may read'
const ASK = { messages: [{ role: 'user', content: SECRET }] }

function logged(options: Partial<EdgeOptions> = {}) {
  const lines: LogEntry[] = []
  const app = createEdge({
    backends: [new FakeBackend({ pieces: ['a private', ' answer'] })],
    log: (entry) => lines.push(entry),
    ...options,
  })
  return { app, lines }
}

describe('the log', () => {
  it('has one line for each request, with its key, tokens and times', async () => {
    let nowMs = 1000
    const { app, lines } = logged({
      keys: await toApiKeys('alice:alice-0123456789abc', 'KEYS'),
      now: () => {
        nowMs += 10
        return nowMs
      },
    })
    const headers = { authorization: 'Bearer alice-0123456789abc', 'x-request-id': 'mine-1' }
    const response = await post(app, CHAT, { ...ASK, stream: true }, { headers })
    expect(response.headers.get('x-request-id')).toBe('mine-1')
    expect(lines, 'the answer is not over').toEqual([])
    await response.text()
    expect(lines).toEqual([
      {
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        level: 'info',
        id: 'mine-1',
        method: 'POST',
        path: CHAT,
        status: 200,
        outcome: 'ok',
        duration_ms: expect.any(Number),
        key: 'alice',
        model: 'fake-model',
        stream: true,
        prompt_tokens: 5,
        completion_tokens: 2,
        cached_tokens: 0,
        first_token_ms: expect.any(Number),
        finish_reasons: ['stop'],
      },
    ])
  })

  it.each<[string, Partial<EdgeOptions>, object, Partial<LogEntry>]>([
    ['a bad request', {}, {}, { status: 400, outcome: 'invalid_request', level: 'info' }],
    ['no key', { keys: [] }, ASK, { status: 401, outcome: 'unauthorized' }],
    [
      'a bug',
      {
        backends: [
          new FakeBackend({
            before: () => {
              throw new Error('boom')
            },
          }),
        ],
        report: () => {},
      },
      ASK,
      { status: 500, outcome: 'internal', level: 'error' },
    ],
    [
      'a stream that breaks',
      {
        backends: [
          new FakeBackend({
            before: (step) => {
              if (step === 1) throw new FacetError('stream_interrupted', 'It broke.')
            },
          }),
        ],
      },
      { ...ASK, stream: true },
      { status: 200, outcome: 'stream_interrupted', completion_tokens: 1 },
    ],
  ])('says how it ended: %s', async (_, options, body, expected) => {
    const { app, lines } = logged(options)
    await (await post(app, CHAT, body)).text()
    expect(lines).toEqual([expect.objectContaining(expected)])
  })

  it('says when the client has left', async () => {
    const { app, lines } = logged()
    const response = await post(app, CHAT, { ...ASK, stream: true })
    await response.body!.cancel()
    expect(lines).toEqual([expect.objectContaining({ status: 200, outcome: 'aborted' })])
  })

  it('never holds what was asked or answered, nor a key, unless asked to', async () => {
    const { app, lines } = logged({ keys: await toApiKeys('alice:alice-0123456789abc', 'KEYS') })
    const headers = { authorization: 'Bearer alice-0123456789abc' }
    await post(app, CHAT, ASK, { headers })
    await post(app, CHAT, { ...ASK, temperature: SECRET }, { headers })
    await post(app, `${CHAT}?q=${encodeURIComponent(SECRET)}`, ASK, { headers })
    expect(lines).toHaveLength(3)
    expect(JSON.stringify(lines)).not.toMatch(/private|nobody|alice-0/)
    const open = logged({ logPrompts: true })
    await post(open.app, CHAT, ASK)
    expect(open.lines[0]!.content).toEqual([{ request: ASK, text: 'a private answer' }])
  })

  it('is silent about probes and scrapes', async () => {
    const { app, lines } = logged()
    for (const path of ['/healthz', '/readyz', '/metrics', '/stats']) await app.request(path)
    expect(lines).toEqual([])
  })
})

describe('x-request-id', () => {
  it('is made where none is given, or one that does not belong into a log', async () => {
    const { app } = logged()
    const ids = new Set<string | null>()
    for (const given of [undefined, 'a b', 'x'.repeat(129), '{"a":1}']) {
      const headers = given === undefined ? {} : { 'x-request-id': given }
      const response = await post(app, CHAT, HELLO, { headers })
      expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
      ids.add(response.headers.get('x-request-id'))
    }
    expect(ids.size).toBe(4)
  })
})
