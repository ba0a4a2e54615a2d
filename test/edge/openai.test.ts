/** The official openai package against the server, over real HTTP. */
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import { FacetError } from '../../src/errors.ts'
import { FakeBackend, gate } from './fake-backend.ts'

let backend: FakeBackend
let before: (step: number) => Promise<void> | void
let server: Served
let client: OpenAI

beforeAll(async () => {
  backend = new FakeBackend({ before: (step) => before(step) })
  server = await serve({ app: createEdge({ backends: [backend], page: false }), port: 0 })
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
})
beforeEach(() => {
  before = () => {}
})
afterAll(() => server.close(0))

const chat = { model: 'fake-model', messages: [{ role: 'user' as const, content: 'Hello' }] }

describe('the openai package', () => {
  it('gets a chat completion', async () => {
    const completion = await client.chat.completions.create(chat)
    expect(completion.choices[0]!.message.content).toBe('Hello!')
    expect(completion.usage!.total_tokens).toBe(8)
    expect(completion.id).toMatch(/^chatcmpl-/)
  })

  it('sends an answer back as the next turn', async () => {
    const { choices } = await client.chat.completions.create(chat)
    const next = [...chat.messages, choices[0]!.message, { role: 'user' as const, content: 'And?' }]
    await client.chat.completions.create({ ...chat, messages: next })
    expect(backend.requests.at(-1)!.messages).toHaveLength(3)
  })

  it('reads a stream, with usage at its end', async () => {
    const options = { ...chat, stream: true as const, stream_options: { include_usage: true } }
    let text = ''
    let total: number | undefined
    for await (const chunk of await client.chat.completions.create(options)) {
      text += chunk.choices[0]?.delta.content ?? ''
      total = chunk.usage?.total_tokens ?? total
    }
    expect(text).toBe('Hello!')
    expect(total).toBe(8)
  })

  it('follows a stream with its helper', async () => {
    const deltas: string[] = []
    await client.chat.completions
      .stream(chat)
      .on('content', (delta) => deltas.push(delta))
      .done()
    expect(deltas).toEqual(['Hel', 'lo', '!'])
    const stream = client.chat.completions.stream({ ...chat, n: 2, logprobs: true, top_logprobs: 1 })
    const { choices } = await stream.finalChatCompletion()
    expect(choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual([
      ['Hello!', 'stop'],
      ['Hello!', 'stop'],
    ])
    expect(choices[1]!.logprobs!.content!.map(({ token }) => token)).toEqual(['Hel', 'lo', '!'])
  })

  it('gets completions, streamed and not', async () => {
    const request = { model: 'fake-model', prompt: ['a', 'b'], echo: true }
    const { choices } = await client.completions.create(request)
    expect(choices.map(({ text }) => text)).toEqual(['aHello!', 'bHello!'])
    const texts = ['', '']
    for await (const { choices } of await client.completions.create({ ...request, stream: true })) {
      for (const { index, text } of choices) texts[index] += text
    }
    expect(texts).toEqual(['aHello!', 'bHello!'])
  })

  it('lists and retrieves models', async () => {
    const ids: string[] = []
    for await (const { id } of client.models.list()) ids.push(id)
    expect(ids).toEqual(['fake-model'])
    expect((await client.models.retrieve('fake-model')).object).toBe('model')
  })

  it('throws its own error classes, with our sentence, field and code', async () => {
    const bad = await client.chat.completions.create({ ...chat, temperature: 3 }).catch((error) => error)
    expect(bad).toBeInstanceOf(OpenAI.BadRequestError)
    expect(bad).toMatchObject({
      status: 400,
      param: 'temperature',
      code: 'invalid_request',
      type: 'invalid_request_error',
      message: '400 temperature must be a number from 0 to 2, but is 3.',
    })
    await expect(client.chat.completions.create({ ...chat, model: 'x' })).rejects.toThrow(
      OpenAI.NotFoundError,
    )
    await expect(client.models.retrieve('x')).rejects.toThrow(OpenAI.NotFoundError)
    before = () => {
      throw new FacetError('queue_full', 'All slots are busy; try again.', { retryAfterMs: 10 })
    }
    await expect(client.chat.completions.create(chat)).rejects.toThrow(OpenAI.RateLimitError)
    before = () => {
      throw new FacetError('unavailable', 'The engine is closed.')
    }
    await expect(client.chat.completions.create({ ...chat, stream: true })).rejects.toThrow(
      OpenAI.InternalServerError,
    )
  })

  it('tries again when told when', async () => {
    let tries = 0
    before = (step) => {
      if (step === 0 && tries++ === 0)
        throw new FacetError('queue_full', 'Full; try again.', { retryAfterMs: 1 })
    }
    const completion = await client.chat.completions.create(chat, { maxRetries: 1 })
    expect(completion.choices[0]!.message.content).toBe('Hello!')
    expect(tries).toBe(2)
  })

  it('throws when a stream breaks, instead of ending it as if it were whole', async () => {
    before = (step) => {
      if (step === 2) throw new FacetError('out_of_memory', 'No memory is left; ask for less.')
    }
    const stream = await client.chat.completions.create({ ...chat, stream: true })
    let text = ''
    const read = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    }
    await expect(read()).rejects.toThrow('No memory is left; ask for less.')
    expect(text).toBe('Hello')
  })

  it('stops the backend when it aborts', async () => {
    before = (step) => (step === 1 ? gate().passed : undefined)
    const stream = await client.chat.completions.create({ ...chat, stream: true })
    const aborted = backend.aborted
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break
    await backend.idle()
    const controller = new AbortController()
    const whole = client.chat.completions.create(chat, { signal: controller.signal })
    while (backend.active === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    await expect(whole).rejects.toThrow(OpenAI.APIUserAbortError)
    await backend.idle()
    expect(backend.aborted - aborted).toBe(2)
  })
})
