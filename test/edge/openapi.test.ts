/** The API describes itself: the document and the reference page say what requests are held to. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, HELLO, type Json, post } from './http.ts'

const app = createEdge({ backends: [new FakeBackend()], page: false })
const document: Json = await (await app.request('/openapi.json')).json()
const schemaOf = (path: string): Json =>
  document.paths[path].post.requestBody.content['application/json'].schema
const ajv = new Ajv2020({ strict: false })

describe('the OpenAPI document', () => {
  it('is of version 3.1 and lists what the server answers', async () => {
    expect(document.openapi).toBe('3.1.0')
    for (const [path, operations] of Object.entries(document.paths as Json)) {
      for (const method of Object.keys(operations as Json)) {
        const { status } = await app.request(path.replace('{id}', 'fake-model'), {
          method: method.toUpperCase(),
        })
        expect(status, path).not.toBe(404)
      }
    }
    const ids = Object.values(document.paths as Json).flatMap((path) =>
      Object.values(path as Json).map((operation) => (operation as Json).operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  it.each<[string, unknown, boolean]>([
    ['a question', HELLO, true],
    ['a question with parts', { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }] }] }, true],
    ['a schema', { ...HELLO, response_format: { type: 'json_schema', json_schema: { name: 'a' } } }, true],
    ['nothing', {}, false],
    ['a wrong temperature', { ...HELLO, temperature: 3 }, false],
    ['an unknown parameter', { ...HELLO, temprature: 1 }, false],
    ['what is not supported', { ...HELLO, audio: {} }, false],
    ['a wrong role', { messages: [{ role: 'x', content: '' }] }, false],
    ['too many log-probabilities', { ...HELLO, logprobs: true, top_logprobs: 21 }, false],
  ])('agrees with the server on %s', async (_, body, isFine) => {
    expect(ajv.compile(schemaOf(CHAT))(body)).toBe(isFine)
    expect((await post(app, CHAT, body)).status === 200).toBe(isFine)
  })

  it('describes every parameter of the chat endpoint', () => {
    for (const [name, json] of Object.entries(schemaOf(CHAT).properties as Json)) {
      expect(json, name).not.toEqual({})
    }
  })
})

describe('the reference page', () => {
  it('shows every endpoint and parameter, and loads nothing', async () => {
    const response = await app.request('/docs')
    const html = await response.text()
    for (const path of Object.keys(document.paths)) expect(html).toContain(path)
    for (const name of Object.keys(schemaOf(CHAT).properties)) expect(html).toContain(`<code>${name}</code>`)
    expect(html).not.toMatch(/<script|<link|<img|src=|@import|url\(/)
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/)
  })
})
