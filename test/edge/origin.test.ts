import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, HELLO, type Json, post } from './http.ts'

const FRIEND = 'https://app.example'
const edge = (origin: object = {}) => createEdge({ backends: [new FakeBackend()], origin })
const from = (origin: string, more: Record<string, string> = {}): RequestInit => ({
  headers: { origin, host: 'facet.example', ...more },
})

describe('pages of other sites', () => {
  it.each([
    ['another site', from(FRIEND)],
    ['a file', from('null')],
    ['another port', from('http://facet.example:8080')],
    ['a browser that tells the site', from(FRIEND, { 'sec-fetch-site': 'cross-site' })],
  ])('may not ask: %s', async (_, init) => {
    const response = await post(edge(), CHAT, HELLO, init)
    expect(response.status).toBe(403)
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  })

  it('are told from our own where browsers do not say the site', async () => {
    expect((await post(edge(), CHAT, HELLO, from('http://facet.example'))).status).toBe(200)
  })

  it('get no preflight answered', async () => {
    const response = await edge().request(CHAT, { method: 'OPTIONS', ...from(FRIEND) })
    expect(response.status).toBe(405)
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('an origin that is allowed', () => {
  const app = edge({ origins: [FRIEND] })

  it('may ask, and read the answer and its headers', async () => {
    const init = from(FRIEND, { 'sec-fetch-site': 'cross-site' })
    const response = await post(app, CHAT, HELLO, init)
    expect(response.status).toBe(200)
    expect(response.headers.get('access-control-allow-origin')).toBe(FRIEND)
    expect(response.headers.get('access-control-expose-headers')).toContain('x-request-id')
    expect(response.headers.get('cross-origin-resource-policy')).toBe('cross-origin')
    expect(response.headers.get('access-control-allow-credentials')).toBeNull()
  })

  it('reads errors too', async () => {
    const response = await post(app, CHAT, {}, from(FRIEND))
    expect(response.status).toBe(400)
    expect(response.headers.get('access-control-allow-origin')).toBe(FRIEND)
  })

  it('has its preflight answered, without a key', async () => {
    const keyed = createEdge({ backends: [new FakeBackend()], keys: [], origin: { origins: [FRIEND] } })
    const response = await keyed.request(CHAT, {
      method: 'OPTIONS',
      ...from(FRIEND, {
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, content-type, x-stainless-os',
      }),
    })
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe(FRIEND)
    expect(response.headers.get('access-control-allow-headers')).toContain('x-stainless-os')
  })

  it('is no other one', async () => {
    for (const origin of ['https://evil.example', 'https://app.example.evil.example', 'http://app.example']) {
      const response = await post(app, CHAT, HELLO, from(origin))
      expect(response.status).toBe(403)
      expect(response.headers.get('access-control-allow-origin')).toBeNull()
    }
    const any = await post(edge({ origins: '*' }), CHAT, HELLO, from('https://evil.example'))
    expect(any.status).toBe(200)
  })
})

describe('a server with names', () => {
  const app = edge({ hosts: ['localhost', '127.0.0.1', '[::1]'] })
  const called = (host: string) => app.request('/v1/models', { headers: { host } })

  it('answers to them, with any port', async () => {
    for (const host of ['localhost', 'LOCALHOST:8787', '127.0.0.1:1', '[::1]:8787']) {
      expect((await called(host)).status, host).toBe(200)
    }
  })

  it('answers to no other, which a page could have point here', async () => {
    for (const host of ['evil.example', 'evil.example:8787', 'localhost.evil.example', '']) {
      const response = await called(host)
      expect(response.status, host).toBe(421)
      expect(((await response.json()) as Json).error.code).toBe('forbidden')
    }
  })
})

describe('security headers', () => {
  it('stand on every answer, errors and streams included', async () => {
    const app = edge()
    const answers = [
      await post(app, CHAT, { ...HELLO, stream: true }),
      await post(app, CHAT, {}),
      await app.request('/v1/models'),
      await app.request('/none'),
      await app.request('/healthz'),
    ]
    for (const { headers } of answers) {
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin')
    }
  })

  it('isolate the page, so that it may have threads, and let it load nothing from elsewhere', async () => {
    const { headers } = await edge().request('/')
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
    expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp')
    const policy = headers.get('content-security-policy')!
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/https?:|\*|'unsafe-inline'|'unsafe-eval'/)
  })
})
