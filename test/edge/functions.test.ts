import { PassThrough } from 'node:stream'
import { text as toText } from 'node:stream/consumers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import * as lambda from '../../src/edge/entry/lambda.ts'
import * as netlify from '../../src/edge/entry/netlify.ts'
import * as vercel from '../../src/edge/entry/vercel.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, HELLO } from './http.ts'

const app = createEdge({ backends: [new FakeBackend()] })
const asked = (): Request =>
  new Request(`https://facet.test${CHAT}`, {
    method: 'POST',
    body: JSON.stringify({ ...HELLO, stream: true }),
  })

describe.each([
  ['Vercel', vercel],
  ['Netlify', netlify],
])('a function on %s', (_, { handle, memoryLimitBytes }) => {
  it('answers as the handler does', async () => {
    const response = await handle(app)(asked())
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    expect(await response.text()).toMatch(/Hel[\s\S]*data: \[DONE\]/)
  })

  it('knows what a model may take', () => {
    expect(memoryLimitBytes).toBeGreaterThan(0.5e9)
    expect(memoryLimitBytes).toBeLessThan(2e9)
  })
})

describe('a function on Lambda', () => {
  afterEach(() => vi.unstubAllGlobals())

  interface Head {
    readonly statusCode: number
    readonly headers: Readonly<Record<string, string>>
  }

  /** What Lambda's Node.js runtime has: hands the handler a stream to write to, and is told the headers. */
  const stubLambda = (sink: PassThrough): Promise<Head> => {
    const { promise, resolve } = Promise.withResolvers<Head>()
    vi.stubGlobal('awslambda', {
      streamifyResponse: (handler: (...all: unknown[]) => Promise<void>) => (event: unknown) =>
        handler(event, sink, {}),
      HttpResponseStream: {
        from: (stream: unknown, head: Head) => {
          resolve(head)
          return stream
        },
      },
    })
    return promise
  }

  it('streams what the handler answers', async () => {
    const sink = new PassThrough()
    const told = stubLambda(sink)
    const event = {
      version: '2.0',
      rawPath: CHAT,
      rawQueryString: '',
      headers: { 'content-type': 'application/json', host: 'facet.test' },
      requestContext: { domainName: 'facet.test', http: { method: 'POST', path: CHAT } },
      body: JSON.stringify({ ...HELLO, stream: true }),
      isBase64Encoded: false,
    }
    const handler = lambda.handle(app) as unknown as (event: unknown) => Promise<void>
    const [head, text] = await Promise.all([told, toText(sink), handler(event)])
    expect(head.statusCode).toBe(200)
    expect(head.headers['content-type']).toContain('text/event-stream')
    expect(text).toMatch(/Hel[\s\S]*data: \[DONE\]/)
  })

  it('leaves a model what the function is given, less what Node.js takes', () => {
    expect(lambda.memoryLimitBytes({ AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '3008' })).toBe(2908 * 1024 * 1024)
    expect(lambda.memoryLimitBytes({})).toBe(28 * 1024 * 1024)
  })
})
