import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { type ApiKey, createEdge, toApiKeys } from '../../src/edge/app.ts'
import { FacetError } from '../../src/errors.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, HELLO, type Json, post } from './http.ts'

const ALICE = 'sk-alice-0123456789abcdef'
const BOB = 'sk-bob-0123456789abcdef00'
const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex')
const keys: ApiKey[] = [
  { name: 'alice', sha256: hashOf(ALICE) },
  { name: 'bob', sha256: hashOf(BOB) },
]
const bearer = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } })
const errorOf = async (response: Response): Promise<Json> => (await response.json()).error

describe('a server with API keys', () => {
  const app = createEdge({ backends: [new FakeBackend()], keys })

  it('lets in whoever shows one of them, as OpenAI clients do or as gateways do', async () => {
    expect((await post(app, CHAT, HELLO, bearer(ALICE))).status).toBe(200)
    expect((await post(app, CHAT, HELLO, { headers: { authorization: `bearer ${BOB}` } })).status).toBe(200)
    expect((await post(app, CHAT, HELLO, { headers: { 'x-api-key': BOB } })).status).toBe(200)
    expect((await app.request('/v1/models', bearer(ALICE))).status).toBe(200)
  })

  it.each<[string, RequestInit]>([
    ['none', {}],
    ['a wrong one', bearer(`${ALICE}x`)],
    ['a hash instead of a key', bearer(hashOf(ALICE))],
    ['one as a password', { headers: { authorization: `Basic ${btoa(`alice:${ALICE}`)}` } }],
    ['an empty one', { headers: { authorization: 'Bearer ' } }],
  ])('refuses a request with %s, and says how to send one', async (_, init) => {
    const backend = new FakeBackend()
    const closed = createEdge({ backends: [backend], keys })
    const response = await post(closed, CHAT, HELLO, init)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="Facet"')
    expect(await errorOf(response)).toMatchObject({ code: 'unauthorized', type: 'authentication_error' })
    expect(backend.requests).toEqual([])
  })

  it('guards models and figures too, but not the probes and the page', async () => {
    for (const path of ['/v1/models', '/v1/models/fake-model', '/metrics', '/stats']) {
      expect((await app.request(path)).status, path).toBe(401)
      expect((await app.request(path, bearer(ALICE))).status, path).toBe(200)
    }
    for (const path of ['/healthz', '/readyz', '/']) expect((await app.request(path)).status, path).toBe(200)
  })

  it('forgets a key at once when its source does, and lets nobody in without any', async () => {
    let good = keys
    const app = createEdge({ backends: [new FakeBackend()], keys: () => good })
    expect((await post(app, CHAT, HELLO, bearer(ALICE))).status).toBe(200)
    good = [keys[1]!]
    expect((await post(app, CHAT, HELLO, bearer(ALICE))).status).toBe(401)
    expect((await post(app, CHAT, HELLO, bearer(BOB))).status).toBe(200)
    good = []
    expect((await post(app, CHAT, HELLO, bearer(BOB))).status).toBe(401)
  })

  it('takes a source that has to look somewhere, and fails when it does', async () => {
    const app = createEdge({
      backends: [new FakeBackend()],
      keys: async () => {
        throw new FacetError('unavailable', 'The key store does not answer; try again soon.')
      },
    })
    expect((await post(app, CHAT, HELLO, bearer(ALICE))).status).toBe(503)
  })
})

describe('a key in the address', () => {
  it.each([
    ['?api_key=x'],
    ['?key=x'],
    ['?access_token=x'],
    ['?a=1&X-API-Key=x'],
    [`?model=${ALICE}`],
    ['?q=Bearer%20x'],
  ])('is refused: %s', async (query) => {
    const backend = new FakeBackend()
    for (const app of [createEdge({ backends: [backend] }), createEdge({ backends: [backend], keys })]) {
      const response = await post(app, CHAT + query, HELLO, bearer(ALICE))
      expect(response.status).toBe(400)
      const { message } = await errorOf(response)
      expect(message).toContain('A key must not stand in the address')
      expect(message).not.toContain(ALICE)
    }
    expect(backend.requests).toEqual([])
  })

  it('is told from other parameters', async () => {
    const app = createEdge({ backends: [new FakeBackend()] })
    expect((await post(app, `${CHAT}?api-version=2024-10-21&trace=1`, HELLO)).status).toBe(200)
  })
})

describe('a list of keys', () => {
  it('is read from lines or commas, with secrets or hashes, with limits or without', async () => {
    const text = `# who\nalice:${ALICE} requests=60 tokens=9000\n\nbob:sha256:${hashOf(BOB).toUpperCase()}, carol:sk-carol-0123456789`
    expect(await toApiKeys(text, 'KEYS')).toEqual([
      { ...keys[0], requestsPerMinute: 60, tokensPerMinute: 9000 },
      keys[1],
      { name: 'carol', sha256: hashOf('sk-carol-0123456789') },
    ])
  })

  it.each([
    ['alice', /^Entry 1 of KEYS is not name:key/],
    [`alice:${ALICE}\nbob:`, /^Entry 2 of KEYS is not name:key/],
    ['alice:short', /^Entry 1 of KEYS has a key below 16 characters/],
    [`alice:${ALICE},alice:${BOB}`, /^Entry 2 of KEYS has the name alice a second time/],
    [`alice:${ALICE} requests=many`, /^Entry 1 of KEYS has a limit/],
    [`alice:${ALICE} speed=5`, /^Entry 1 of KEYS has a limit/],
    ['a b:0123456789abcdef', /^Entry 1 of KEYS is not/],
  ])('says what is wrong with %j without showing it', async (text, sentence) => {
    const error = await toApiKeys(text, 'KEYS').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FacetError)
    expect((error as FacetError).message).toMatch(sentence)
    expect((error as FacetError).message).not.toMatch(/sk-|short|0123456789/)
  })

  it('gives keys or one clear error, whatever it is', async () => {
    const piece = fc.constantFrom('alice', ':', 'sha256:', ALICE, ' ', 'tokens=', '9', ',', '\n', '#', 'é')
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((all) => all.join('')),
        ),
        async (text) => {
          try {
            for (const key of await toApiKeys(text, 'KEYS')) expect(key.sha256).toMatch(/^[0-9a-f]{64}$/)
          } catch (error) {
            expect(error).toBeInstanceOf(FacetError)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('an address that shows wrong keys', () => {
  const from = (remoteAddress: string) => ({ incoming: { socket: { remoteAddress } } })
  const ask = (app: Hono, key: string, env: object): Response | Promise<Response> =>
    app.request('/v1/models', bearer(key), env)

  it('has to wait after 20 in a minute, unlike other addresses and keys that were good before', async () => {
    let nowMs = 0
    const app = createEdge({ backends: [new FakeBackend()], keys, now: () => nowMs })
    expect((await ask(app, BOB, from('10.0.0.1'))).status).toBe(200)
    for (let i = 0; i < 20; i++) {
      expect((await ask(app, `wrong-${i}-0123456789abcdef`, from('10.0.0.1'))).status).toBe(401)
    }
    nowMs = 15_000
    const refused = await ask(app, ALICE, from('10.0.0.1'))
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('45')
    expect((await errorOf(refused)).code).toBe('rate_limited')
    expect((await ask(app, BOB, from('10.0.0.1'))).status).toBe(200)
    expect((await ask(app, ALICE, from('10.0.0.2'))).status).toBe(200)
    nowMs = 60_000
    expect((await ask(app, 'wrong-again-0123456789', from('10.0.0.1'))).status).toBe(401)
    expect((await ask(app, ALICE, from('10.0.0.1'))).status).toBe(200)
  })

  it('is the one that a proxy tells, where the server is told to believe it', async () => {
    const signIns = {
      wrongKeysPerMinute: 1,
      addressOf: ({ headers }: Request) => headers.get('x-real-ip') ?? undefined,
    }
    const app = createEdge({ backends: [new FakeBackend()], keys, signIns })
    const statusFor = async (address: string): Promise<number> => {
      const headers = { authorization: 'Bearer wrong-0123456789abcdef', 'x-real-ip': address }
      return (await app.request('/v1/models', { headers }, from('10.0.0.1'))).status
    }
    expect([await statusFor('1.1.1.1'), await statusFor('1.1.1.1'), await statusFor('2.2.2.2')]).toEqual([
      401, 429, 401,
    ])
  })

  it('is nobody where no address is known', async () => {
    const app = createEdge({ backends: [new FakeBackend()], keys, signIns: { wrongKeysPerMinute: 1 } })
    for (let i = 0; i < 3; i++) expect((await ask(app, 'wrong-0123456789abcdef', {})).status).toBe(401)
  })
})
