import { describe, expect, it } from 'vitest'
import { createClient } from '../../src/client/http.ts'
import { inferenceGateway, vllm } from '../../src/client/servers.ts'
import type { ChatRequest, Usage } from '../../src/types.ts'
import { data, done, eventStream, fakeFetch, finish, usage } from './fake-server.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'Hi' }] }
const baseURL = 'http://127.0.0.1:1/v1'

describe('a client of vLLM', () => {
  it('knows the exact tokens of an answer that it leaves', async () => {
    const piece = (content: string, tokens: number): string =>
      data({ choices: [{ delta: { content } }], usage: { prompt_tokens: 9, completion_tokens: tokens } })
    const { fetch, calls } = fakeFetch(() =>
      eventStream([piece('a few words', 3), piece('more', 4), done].join('')),
    )
    const usages: Usage[] = []
    const client = createClient(vllm({ baseURL, fetch }))
    for await (const event of client.chat(QUESTION, { onUsage: (spent) => usages.push(spent) })) {
      if (event.type === 'text') break
    }
    expect(usages).toEqual([{ promptTokens: 9, completionTokens: 3 }])
    expect(calls[0]!.body.stream_options).toEqual({ include_usage: true, continuous_usage_stats: true })
  })
})

describe('a client of the Inference Gateway', () => {
  it('names the model, how important it is, and for whom', async () => {
    const { fetch, calls } = fakeFetch(() => eventStream([finish(), usage(1, 1), done].join('')))
    const own = { objective: 'chat', fairnessId: 'team-blue' }
    const options = inferenceGateway(
      { baseURL, fetch, model: 'gemma-7b-it', headers: { 'x-own': 'yes' } },
      own,
    )
    for await (const _ of createClient(options).chat(QUESTION));
    expect(calls[0]!.body.model).toBe('gemma-7b-it')
    expect(Object.fromEntries(calls[0]!.headers)).toMatchObject({
      'x-gateway-inference-objective': 'chat',
      'x-gateway-inference-fairness-id': 'team-blue',
      'x-own': 'yes',
    })
  })

  it('is not made without a model', () => {
    expect(() => inferenceGateway({ baseURL })).toThrow('model is missing')
  })
})
