/** Tools, response formats and embeddings on the wire: what is sent, and what is read. */
import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { createClient } from '../../src/client/http.ts'
import type { ChatRequest } from '../../src/types.ts'
import { body, type Call, data, done, eventStream, fakeFetch, finish } from './fake-server.ts'

const clientOf = (answer: (call: Call) => Response) => {
  const { fetch, calls } = fakeFetch(answer)
  return { client: createClient({ baseURL: 'http://127.0.0.1:1/v1', fetch, model: 'gemma' }), calls }
}
const toolDelta = (call: object): string => data({ choices: [{ delta: { tool_calls: [call] } }] })

describe('a request with tools', () => {
  it('is sent as OpenAI documents it', async () => {
    const { client, calls } = clientOf(() => eventStream(body([finish(), done])))
    const parameters = { type: 'object' }
    const request: ChatRequest = {
      messages: [
        { role: 'user', content: 'Warm?' },
        { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'weather', arguments: '{}' }] },
        { role: 'tool', toolCallId: 'a', content: '20' },
      ],
      tools: [{ name: 'weather', parameters }],
      toolChoice: { name: 'weather' },
      parallelToolCalls: false,
      responseFormat: { type: 'json_schema', name: 'answer', schema: parameters, strict: true },
    }
    await collect(client.chat(request))
    expect(calls[0]!.body).toMatchObject({
      messages: [
        { role: 'user', content: 'Warm?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'a', content: '20' },
      ],
      tools: [{ type: 'function', function: { name: 'weather', parameters } }],
      tool_choice: { type: 'function', function: { name: 'weather' } },
      parallel_tool_calls: false,
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: parameters, strict: true },
      },
    })
  })

  it('collects calls by their index, whatever a server makes of it', async () => {
    const { client } = clientOf(() =>
      eventStream(
        body([
          toolDelta({ index: 4_000_000_000, id: 'b', function: { name: 'second', arguments: '{}' } }),
          toolDelta({ index: 0, id: 'a', function: { name: 'first', arguments: '{"x"' } }),
          toolDelta({ index: 0, function: { arguments: ': 1}' } }),
          data({ choices: [{ delta: {}, finish_reason: 'tool_calls' }] }),
          done,
        ]),
      ),
    )
    const answer = await collect(client.chat({ prompt: 'x' }))
    expect(answer).toMatchObject({
      text: '',
      finishReason: 'tool_calls',
      toolCalls: [
        { id: 'a', name: 'first', arguments: '{"x": 1}' },
        { id: 'b', name: 'second', arguments: '{}' },
      ],
    })
  })
})

describe('embeddings', () => {
  it('come in the order of the texts', async () => {
    const { client, calls } = clientOf(() =>
      Response.json({
        data: [
          { index: 1, embedding: [0, 1] },
          { index: 0, embedding: [1, 0] },
        ],
      }),
    )
    expect(await client.embed!(['a', 'b'])).toEqual([Float32Array.of(1, 0), Float32Array.of(0, 1)])
    expect(calls[0]).toMatchObject({
      url: 'http://127.0.0.1:1/v1/embeddings',
      body: { model: 'gemma', input: ['a', 'b'], encoding_format: 'float' },
    })
  })

  it.each([{}, { data: [] }, { data: [{ embedding: 'AAAA' }] }, { data: [{ embedding: [1, null] }] }])(
    'are refused when the server sends %j',
    async (json) => {
      const { client } = clientOf(() => Response.json(json))
      await expect(client.embed!(['a'])).rejects.toMatchObject({ code: 'bad_response' })
    },
  )
})
