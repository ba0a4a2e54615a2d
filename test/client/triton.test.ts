import { describe, expect, it } from 'vitest'
import { triton } from '../../src/client/triton.ts'
import type { ChatRequest } from '../../src/types.ts'
import { type Asked, askOnce } from './ask-once.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'Hi' }], maxTokens: 7 }
const baseURL = 'http://127.0.0.1:1/v2/models/ensemble'

const chat = (answer: Response, request: ChatRequest = QUESTION): Promise<Asked> =>
  askOnce((fetch) => triton({ baseURL, fetch }), answer, request)

describe('a client of Triton', () => {
  it('sends the chat as a prompt in the template, and gives the answer whole', async () => {
    const { events, calls } = await chat(Response.json({ model_name: 'ensemble', text_output: 'Hello.' }), {
      ...QUESTION,
      temperature: 0.5,
      seed: 3,
    })
    expect(calls).toMatchObject([
      {
        url: 'http://127.0.0.1:1/v2/models/ensemble/generate',
        method: 'POST',
        body: {
          text_input: expect.stringContaining('<start_of_turn>user\nHi<end_of_turn>'),
          bad_words: '',
          stop_words: '',
          max_tokens: 7,
          temperature: 0.5,
          random_seed: 3,
        },
      },
    ])
    expect(events.filter(({ type }) => type === 'text')).toMatchObject([{ text: 'Hello.' }])
    expect(events.at(-1)).toMatchObject({ type: 'finish', reason: 'stop' })
  })

  it.each([
    ['stop', { stop: ['x'] }],
    ['tools', { tools: [{ name: 'f', parameters: {} }] }],
    ['prompt', { messages: undefined, prompt: [1, 2] }],
  ] as const)('refuses %s, for which it has no word', async (field, more) => {
    await expect(
      chat(Response.json({ text_output: '' }), { ...QUESTION, ...more } as ChatRequest),
    ).rejects.toMatchObject({
      code: 'unsupported',
      field,
    })
  })

  it.each(['{"text": 1}', '[]', 'oh no', '{"text_output": 5}'])(
    'does not take %s for an answer',
    async (body) => {
      await expect(chat(new Response(body))).rejects.toMatchObject({ code: 'bad_response' })
    },
  )

  it('passes on that it failed', async () => {
    const failed = new Response('{"error": "Request for unknown model"}', { status: 400 })
    await expect(chat(failed)).rejects.toMatchObject({ status: 400 })
  })
})
