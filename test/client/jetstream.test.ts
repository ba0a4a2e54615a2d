import { describe, expect, it } from 'vitest'
import { jetstream } from '../../src/client/jetstream.ts'
import type { ChatRequest } from '../../src/types.ts'
import { type Asked, askOnce } from './ask-once.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'Hi' }], maxTokens: 7 }
const baseURL = 'http://127.0.0.1:1/gemma'

const chat = (answer: Response, request: ChatRequest = QUESTION): Promise<Asked> =>
  askOnce((fetch) => jetstream({ baseURL, fetch }), answer, request)

describe('a client of JetStream', () => {
  it('sends the chat as a prompt in the template, and gives the answer whole', async () => {
    const { events, calls } = await chat(Response.json({ response: 'Hello.' }))
    expect(calls).toMatchObject([
      {
        url: 'http://127.0.0.1:1/gemma/generate',
        method: 'POST',
        body: { prompt: expect.stringContaining('<start_of_turn>user\nHi<end_of_turn>'), max_tokens: 7 },
      },
    ])
    expect(events.filter(({ type }) => type === 'text')).toMatchObject([{ text: 'Hello.' }])
    expect(events.at(-1)).toMatchObject({ type: 'finish', reason: 'stop' })
  })

  it.each([
    ['temperature', { temperature: 0.5 }],
    ['stop', { stop: ['x'] }],
    ['tools', { tools: [{ name: 'f', parameters: {} }] }],
    ['prompt', { messages: undefined, prompt: [1, 2] }],
  ] as const)('refuses %s, for which it has no word', async (field, more) => {
    await expect(
      chat(Response.json({ response: '' }), { ...QUESTION, ...more } as ChatRequest),
    ).rejects.toMatchObject({
      code: 'unsupported',
      field,
    })
  })

  it.each(['{"text": 1}', '[]', 'oh no', '{"response": 5}'])(
    'does not take %s for an answer',
    async (body) => {
      await expect(chat(new Response(body))).rejects.toMatchObject({ code: 'bad_response' })
    },
  )

  it('passes on that it failed', async () => {
    const failed = new Response('{"detail": "failed to connect to all addresses"}', { status: 500 })
    await expect(chat(failed)).rejects.toMatchObject({ status: 500 })
  })
})
