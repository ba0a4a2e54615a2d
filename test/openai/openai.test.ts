import Official from 'openai'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import OpenAI from '../../src/openai/openai.ts'
import type { Backend } from '../../src/types.ts'
import { body, done, eventStream, fakeFetch, finish, text, usage } from '../client/fake-server.ts'
import { FakeBackend, gate } from '../edge/fake-backend.ts'

const HELLO = [{ role: 'user' as const, content: 'Hello' }]
const ask = { model: 'gpt-4o', messages: HELLO }

async function thrownBy(work: () => unknown): Promise<FacetError> {
  try {
    await work()
  } catch (error) {
    expect(error).toBeInstanceOf(OpenAI.APIError)
    return error as FacetError
  }
  return expect.unreachable('nothing was thrown')
}

/** Code as it stands in many programs, with whichever client is imported. */
async function program(client: Pick<Official, 'chat'> | OpenAI): Promise<string> {
  const whole = await (client as OpenAI).chat.completions.create({ ...ask, temperature: 0 })
  let streamed = ''
  for await (const chunk of await (client as OpenAI).chat.completions.create({ ...ask, stream: true })) {
    streamed += chunk.choices[0]?.delta.content ?? ''
  }
  return `${whole.choices[0]!.message.content}|${streamed}|${whole.choices[0]!.finish_reason}`
}

describe('the facade', () => {
  it('gives whole chats in the official shape, whatever model is named', async () => {
    const answer = await new OpenAI({ backend: new FakeBackend() }).chat.completions.create(ask)
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'fake-model',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello!' },
          finish_reason: 'stop',
          logprobs: null,
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    })
  })

  it('runs the same program as the official client', async () => {
    const { createEdge } = await import('../../src/edge/app.ts')
    const edge = createEdge({ backends: [new FakeBackend({ id: 'gpt-4o' })] })
    const official = new Official({
      apiKey: 'x',
      baseURL: 'http://localhost/v1',
      fetch: (url, init) => edge.fetch(new Request(url as string, init)) as Promise<Response>,
    })
    const expected = await program(official)
    expect(expected).toBe('Hello!|Hello!|stop')
    expect(await program(new OpenAI({ backend: new FakeBackend() }))).toBe(expected)
  })

  it('streams, tells usage when asked, splits and ends when the loop is left', async () => {
    const backend = new FakeBackend({ pieces: Array.from({ length: 1000 }, () => 'x') })
    const client = new OpenAI({ backend })
    const stream = await client.chat.completions.create({ ...ask, stream: true })
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break
    await backend.idle()
    // What is ready at once travels as one chunk; the rest is never computed.
    expect(backend.steps).toBeLessThan(100)
    expect((await thrownBy(async () => stream[Symbol.asyncIterator]())).code).toBe('invalid_request')

    const short = new OpenAI({ backend: new FakeBackend() })
    const counted = await short.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    })
    const [left, right] = counted.tee()
    const said = async (one: typeof left): Promise<string> => {
      let all = ''
      for await (const { choices, usage } of one)
        all += choices[0]?.delta.content ?? (usage ? `[${usage.total_tokens}]` : '')
      return all
    }
    expect(await Promise.all([said(left), said(right)])).toEqual(['Hello![8]', 'Hello![8]'])
    const lines = await short.chat.completions.create({ ...ask, stream: true })
    const texts = (await new Response(lines.toReadableStream()).text()).trim().split('\n')
    expect(texts.map((line) => JSON.parse(line).object)).toEqual(Array(5).fill('chat.completion.chunk'))
  })

  it('throws what breaks a stream, and what fails before it', async () => {
    const broken = new FacetError('stream_interrupted', 'The connection broke.')
    const before = (step: number): void => {
      if (step === 2) throw broken
    }
    const stream = await new OpenAI({ backend: new FakeBackend({ before }) }).chat.completions.create({
      ...ask,
      stream: true,
    })
    let said = ''
    const error = await thrownBy(async () => {
      for await (const chunk of stream) said += chunk.choices[0]?.delta.content ?? ''
    })
    expect(said).toBe('Hello')
    expect(error).toMatchObject({ code: 'stream_interrupted', message: 'The connection broke.' })

    const client = new OpenAI({ backend: new FakeBackend() })
    const wrong = await thrownBy(() => client.chat.completions.create({ ...ask, temperature: 9 }))
    expect(wrong).toMatchObject({ status: 400, code: 'invalid_request', field: 'temperature' })
    const unknown = { ...ask, tempreature: 1 }
    expect(await thrownBy(() => client.chat.completions.create(unknown))).toMatchObject({
      field: 'tempreature',
    })
  })

  it('is aborted by its signal, and by its time limit', async () => {
    const { passed } = gate()
    const backend = new FakeBackend({ before: () => passed })
    const client = new OpenAI({ backend })
    const control = new AbortController()
    const left = thrownBy(() => client.chat.completions.create(ask, { signal: control.signal }))
    control.abort()
    expect(await left).toMatchObject({ code: 'aborted' })
    expect(await thrownBy(() => client.chat.completions.create(ask, { timeout: 1 }))).toMatchObject({
      code: 'timeout',
    })
    await backend.idle()
  })

  it('completes texts, and lists and finds models', async () => {
    const client = new OpenAI({ backends: [new FakeBackend({ id: 'a' }), new FakeBackend({ id: 'b' })] })
    const { choices, model } = await client.completions.create({ model: 'b', prompt: 'Say', echo: true })
    expect([choices[0]!.text, model]).toEqual(['SayHello!', 'b'])
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['a', 'b'])
    const ids: string[] = []
    for await (const { id } of client.models.list()) ids.push(id)
    expect(ids).toEqual(['a', 'b'])
    expect(await client.models.retrieve('b')).toMatchObject({ id: 'b', object: 'model' })
    expect(await thrownBy(() => client.completions.create({ model: 'c', prompt: 'x' }))).toMatchObject({
      code: 'model_not_found',
    })
  })

  it('embeds texts where the backend can', async () => {
    const backend: Backend = Object.assign(new FakeBackend(), {
      embed: async (texts: readonly string[]) => texts.map((text) => Float32Array.of(text.length, 1)),
    })
    const client = new OpenAI({ backend })
    const { data } = await client.embeddings.create({ model: 'x', input: ['a', 'bcd'] })
    expect(data.map(({ embedding }) => embedding)).toEqual([
      [1, 1],
      [3, 1],
    ])
    expect(await thrownBy(() => client.embeddings.create({ model: 'x', input: [[1]] }))).toMatchObject({
      field: 'input[0]',
    })
    const none = new OpenAI({ backend: new FakeBackend() })
    expect(await thrownBy(() => none.embeddings.create({ model: 'x', input: 'a' }))).toMatchObject({
      code: 'unsupported',
    })
  })

  it('reaches a server by its address, and passes the model on', async () => {
    const { fetch, calls } = fakeFetch(() => eventStream(body([text('ls'), finish(), usage(3, 1), done])))
    const client = new OpenAI({ baseURL: 'http://127.0.0.1:1/v1', apiKey: 'sk-secret', fetch })
    const { choices } = await client.chat.completions.create({ ...ask, model: 'gemma-7b-it' })
    expect(choices[0]!.message.content).toBe('ls')
    expect(calls[0]!.body.model).toBe('gemma-7b-it')
    expect(calls[0]!.headers.get('authorization')).toBe('Bearer sk-secret')
    expect(await thrownBy(() => new OpenAI({}))).toMatchObject({ field: 'backend' })
  })

  it('asks the server at its address which models there are', async () => {
    const list = { object: 'list', data: [{ id: 'gemma-7b-it', object: 'model', max_model_len: 8192 }] }
    const { fetch, calls } = fakeFetch(() => Response.json(list))
    const client = new OpenAI({ baseURL: 'http://127.0.0.1:1/v1', apiKey: 'sk-secret', fetch })
    const ids: string[] = []
    for await (const { id } of await client.models.list()) ids.push(id)
    expect(ids).toEqual(['gemma-7b-it'])
    expect(calls[0]).toMatchObject({ method: 'GET', url: 'http://127.0.0.1:1/v1/models' })
    expect(calls[0]!.headers.get('authorization')).toBe('Bearer sk-secret')
    expect(await client.models.retrieve('gemma-7b-it')).toMatchObject({ id: 'gemma-7b-it', object: 'model' })
    expect(await thrownBy(() => client.models.retrieve('gpt-4o'))).toMatchObject({
      code: 'model_not_found',
      message: expect.stringContaining('ask for one of: gemma-7b-it'),
    })
  })

  it('names the model that embeds to the server at its address', async () => {
    const data = [{ object: 'embedding', index: 0, embedding: [0.6, 0.8] }]
    const { fetch, calls } = fakeFetch(() => Response.json({ object: 'list', data }))
    const client = new OpenAI({ baseURL: 'http://127.0.0.1:1/v1', fetch })
    const answer = await client.embeddings.create({ model: 'embeddinggemma', input: 'a' })
    expect(answer).toMatchObject({ model: 'embeddinggemma', data: [{ index: 0 }] })
    expect(calls[0]!.body).toMatchObject({ model: 'embeddinggemma', input: ['a'] })
  })

  it('gives the response beside the answer', async () => {
    const client = new OpenAI({ backend: new FakeBackend() })
    const whole = await client.chat.completions.create(ask).withResponse()
    expect(whole.data.choices[0]!.message.content).toBe('Hello!')
    expect(whole.response.status).toBe(200)
    expect(await whole.response.json()).toEqual(whole.data)
    const streamed = await client.chat.completions.create({ ...ask, stream: true }).withResponse()
    expect(streamed.response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    let said = ''
    for await (const chunk of streamed.data) said += chunk.choices[0]?.delta.content ?? ''
    expect(said).toBe('Hello!')
    const raw = await client.chat.completions.create({ ...ask, stream: true }).asResponse()
    expect(await raw.text()).toContain('data: [DONE]')
    // And nothing is left that nobody handles.
    expect(
      await thrownBy(() => client.chat.completions.create({ ...ask, n: 0 }).withResponse()),
    ).toMatchObject({
      field: 'n',
    })
  })

  it('tells its errors apart by the official classes', async () => {
    const kinds = [
      'APIConnectionError',
      'APIConnectionTimeoutError',
      'APIUserAbortError',
      'AuthenticationError',
      'BadRequestError',
      'InternalServerError',
      'NotFoundError',
      'RateLimitError',
    ] as const
    const cases = [
      ['invalid_request', ['BadRequestError']],
      ['unauthorized', ['AuthenticationError']],
      ['model_not_found', ['NotFoundError']],
      ['queue_full', ['RateLimitError']],
      ['unavailable', ['InternalServerError']],
      ['connection_failed', ['APIConnectionError']],
      ['timeout', ['APIConnectionError', 'APIConnectionTimeoutError']],
      ['aborted', ['APIUserAbortError']],
    ] as const
    for (const [code, expected] of cases) {
      const before = (): never => {
        throw new FacetError(code, 'It fails.')
      }
      const client = new OpenAI({ backend: new FakeBackend({ before }) })
      const error = await thrownBy(() => client.chat.completions.create(ask))
      expect(kinds.filter((kind) => error instanceof OpenAI[kind])).toEqual(expected)
    }
    expect(new Error('of something else') instanceof OpenAI.RateLimitError).toBe(false)
  })
})
