import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { FacetError } from '../../src/errors.ts'
import type { ChatEvent, ChatRequest, TokenSource } from '../../src/types.ts'
import { createVertex, type VertexOptions } from '../../src/vertex/vertex.ts'
import { body, type Call, done, eventStream, fakeFetch, finish, text, usage } from '../client/fake-server.ts'

const NAME = 'projects/facet-test/locations/europe-west4/endpoints/1234567890'
const DNS = '1234567890.europe-west4-987.prediction.vertexai.goog'
const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'How do I list files?' }] }
const PROMPT = '<start_of_turn>user\nHow do I list files?<end_of_turn>\n<start_of_turn>model\n'

const auth: TokenSource = { token: async () => 'ya29.token', refused: () => {} }

function vertexOf(
  answer: (call: Call) => Response | Promise<Response>,
  options: Partial<VertexOptions> = {},
): { vertex: ReturnType<typeof createVertex>; calls: Call[] } {
  const { fetch, calls } = fakeFetch(answer)
  return { vertex: createVertex({ endpoint: { name: NAME }, auth, fetch, ...options }), calls }
}

const streamed = (): Response => eventStream(body([text('ls', {}), finish(), usage(7, 1), done]))

async function thrownBy(events: AsyncIterable<ChatEvent>): Promise<{ error: FacetError; text: string }> {
  let said = ''
  try {
    for await (const event of events) said += event.type === 'text' ? event.text : ''
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    return { error: error as FacetError, text: said }
  }
  return expect.unreachable('nothing was thrown')
}

describe('the address of an endpoint', () => {
  const dedicated = { name: NAME, dedicatedEndpointEnabled: true, dedicatedEndpointDns: DNS }
  const shared = 'https://europe-west4-aiplatform.googleapis.com'

  it.each<[string, Partial<VertexOptions>, string]>([
    ['shared', {}, `${shared}/v1beta1/${NAME}/chat/completions`],
    ['dedicated', { endpoint: dedicated }, `https://${DNS}/v1beta1/${NAME}/chat/completions`],
    [
      'invoked',
      { endpoint: dedicated, protocol: 'invoke' },
      `https://${DNS}/v1/${NAME}/invoke/v1/chat/completions`,
    ],
    ['raw', { protocol: 'raw' }, `${shared}/v1/${NAME}:streamRawPredict`],
    [
      'raw and dedicated',
      { endpoint: dedicated, protocol: 'raw' },
      `https://${DNS}/v1/${NAME}:streamRawPredict`,
    ],
    [
      'private',
      { endpoint: dedicated, baseURL: 'http://10.0.0.5/' },
      `http://10.0.0.5/v1beta1/${NAME}/chat/completions`,
    ],
    [
      'not switched to dedicated',
      { endpoint: { ...dedicated, dedicatedEndpointEnabled: false } },
      `${shared}/v1beta1/${NAME}/chat/completions`,
    ],
    [
      'global',
      { endpoint: { name: NAME.replace('europe-west4', 'global') } },
      `https://aiplatform.googleapis.com/v1beta1/${NAME.replace('europe-west4', 'global')}/chat/completions`,
    ],
  ])('is made of its own fields: %s', async (_, options, url) => {
    const { vertex, calls } = vertexOf(streamed, options)
    expect(await collect(vertex.chat(QUESTION))).toMatchObject({ text: 'ls', finishReason: 'stop' })
    expect(calls[0]!.url).toBe(url)
    expect(calls[0]!.headers.get('authorization')).toBe('Bearer ya29.token')
    expect(calls[0]!.body).toMatchObject({ model: '', messages: QUESTION.messages })
  })

  it.each<[string, Partial<VertexOptions>, string]>([
    ['a number', { endpoint: { name: '1234' } }, 'endpoint.name'],
    ['a publisher model', { endpoint: { name: NAME.replace('endpoints', 'publishers') } }, 'endpoint.name'],
    [
      'no DNS field',
      { endpoint: { name: NAME, dedicatedEndpointEnabled: true } },
      'endpoint.dedicatedEndpointDns',
    ],
    [
      'a DNS field that is an address',
      { endpoint: { name: NAME, dedicatedEndpointDns: `https://${DNS}` } },
      'endpoint.dedicatedEndpointDns',
    ],
    ['invoke on a shared endpoint', { protocol: 'invoke' }, 'protocol'],
    ['whole answers of chat', { stream: false }, 'stream'],
  ])('refuses %s, naming the field', (_, options, field) => {
    try {
      vertexOf(streamed, options)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid_request', field })
      expect((error as FacetError).message).toContain(field)
    }
  })

  it('refuses a raw prompt where Vertex takes only messages, and a request that is too large', async () => {
    const { vertex, calls } = vertexOf(streamed)
    expect((await thrownBy(vertex.chat({ prompt: 'x' }))).error).toMatchObject({
      code: 'unsupported',
      field: 'prompt',
    })
    const long = { messages: [{ role: 'user' as const, content: 'x'.repeat(1_500_000) }] }
    const { error } = await thrownBy(vertex.chat(long))
    expect(error).toMatchObject({
      code: 'request_too_large',
      backend: 'europe-west4-aiplatform.googleapis.com',
    })
    expect(calls).toEqual([])
  })

  it("gives Google's refusals their codes", async () => {
    const { vertex } = vertexOf(() =>
      Response.json([{ error: { code: 429, message: 'Quota exceeded.', status: 'RESOURCE_EXHAUSTED' } }], {
        status: 429,
        headers: { 'retry-after': '3' },
      }),
    )
    const { error } = await thrownBy(vertex.chat(QUESTION))
    expect(error).toMatchObject({ code: 'rate_limited', retryAfterMs: 3000, message: 'Quota exceeded.' })
  })
})

describe('a container that speaks OpenAI without streams', () => {
  it('is asked for the whole answer, which comes as events', async () => {
    const call = { id: 'call_1', type: 'function', function: { name: 'ls', arguments: '{}' } }
    const { vertex, calls } = vertexOf(
      () =>
        Response.json({
          id: 'chatcmpl-9',
          model: 'gemma-7b-it',
          choices: [
            {
              index: 0,
              message: { role: 'assistant', content: 'ls', tool_calls: [call] },
              finish_reason: 'stop',
            },
          ],
          usage: { prompt_tokens: 7, completion_tokens: 2 },
        }),
      { protocol: 'raw', stream: false, model: 'gemma-7b-it' },
    )
    const events: ChatEvent[] = []
    for await (const event of vertex.chat(QUESTION)) events.push(event)
    expect(events).toEqual([
      {
        type: 'start',
        id: 'chatcmpl-9',
        model: 'gemma-7b-it',
        backend: 'europe-west4-aiplatform.googleapis.com',
      },
      { type: 'text', text: 'ls' },
      { type: 'tool', index: 0, id: 'call_1', name: 'ls', arguments: '{}' },
      { type: 'finish', reason: 'stop', usage: { promptTokens: 7, completionTokens: 2 } },
    ])
    expect(calls[0]!.url).toMatch(/:rawPredict$/)
    expect(calls[0]!.body).toEqual({ model: 'gemma-7b-it', messages: QUESTION.messages })
  })

  it.each([
    ['no JSON', '<html>'],
    ['no choices', '{"predictions": []}'],
  ])('fails honestly on %s', async (_, answer) => {
    const { vertex } = vertexOf(() => new Response(answer), { protocol: 'raw', stream: false })
    const { error } = await thrownBy(vertex.chat(QUESTION))
    expect(error).toMatchObject({ code: 'bad_response', field: 'protocol' })
  })
})

describe("Google's own vLLM container", () => {
  it.each([
    ['alone', 'Use ls.'],
    ['after the prompt', `${PROMPT}Use ls.`],
    ['under headings', `Prompt:\n${PROMPT.trim()}\nOutput:\nUse ls.`],
  ])('gives its answer as a prediction, %s', async (_, prediction) => {
    const answer = JSON.stringify({ predictions: [prediction], deployedModelId: '1' }, null, 2)
    const { vertex, calls } = vertexOf(() => new Response(answer), { protocol: 'predict' })
    const { text, usage } = await collect(vertex.chat({ ...QUESTION, temperature: 0, maxTokens: 9 }))
    expect(text).toBe('Use ls.')
    expect(usage.estimated).toBe(true)
    expect(calls[0]!.url).toMatch(/:predict$/)
    expect(calls[0]!.body).toEqual({
      instances: [{ prompt: PROMPT, max_tokens: 9, temperature: 0, raw_response: true }],
    })
  })

  it.each(['<html>', '{"predictions": []}', '{"predictions": [{"text": "x"}]}', '{"text": ["x"]}'])(
    'is not understood where it sends %s',
    async (answer) => {
      const { vertex } = vertexOf(() => new Response(answer), { protocol: 'predict' })
      const { error } = await thrownBy(vertex.chat(QUESTION))
      expect(error).toMatchObject({ code: 'bad_response', field: 'protocol' })
    },
  )
})

describe('a plain vLLM container', () => {
  const line = (answer: string): string => `${JSON.stringify({ text: [PROMPT + answer] })}\n`
  const generate = (pieces: readonly string[], ...rest: [('end' | 'break')?]): ReturnType<typeof vertexOf> =>
    vertexOf(() => new Response(body(pieces, ...rest)), { protocol: 'generate' })

  it("gets Gemma's template as text, and its growing text becomes pieces", async () => {
    const { vertex, calls } = generate([line('Use'), line('Use ls'), line('Use ls.')])
    const pieces: string[] = []
    for await (const event of vertex.chat({ ...QUESTION, temperature: 0, topK: 3, stop: ['\n'] })) {
      if (event.type === 'text') pieces.push(event.text)
      if (event.type === 'finish') expect(event).toMatchObject({ reason: 'stop', usage: { estimated: true } })
    }
    expect(pieces).toEqual(['Use', ' ls', '.'])
    expect(calls[0]!.url).toMatch(/:streamRawPredict$/)
    expect(calls[0]!.body).toEqual({
      prompt: PROMPT,
      max_tokens: 1024,
      temperature: 0,
      top_k: 3,
      stop: ['\n'],
      stream: true,
    })
  })

  it('says the same however its bytes are cut, also with the NUL of older versions', async () => {
    const bytes = new TextEncoder().encode(
      [line('Grüße'), line('Grüße 👋').replace('\n', '\0'), line('Grüße 👋!')].join(''),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
        const points = [0, ...cuts.sort((a, b) => a - b), bytes.length]
        const pieces = points.slice(1).map((end, index) => bytes.slice(points[index], end))
        const stream = new ReadableStream<Uint8Array>({
          start(control) {
            for (const piece of pieces) if (piece.length) control.enqueue(piece)
            control.close()
          },
        })
        const { vertex } = vertexOf(() => new Response(stream), { protocol: 'generate' })
        expect((await collect(vertex.chat(QUESTION))).text).toBe('Grüße 👋!')
      }),
      { numRuns: 50 },
    )
  })

  it('is not complete when the connection breaks, or when there was nothing', async () => {
    const cut = await thrownBy(generate([line('Use')], 'break').vertex.chat(QUESTION))
    expect(cut).toMatchObject({ text: 'Use', error: { code: 'stream_interrupted' } })
    const half = await thrownBy(generate([line('Use'), line('Use ls').slice(0, 20)]).vertex.chat(QUESTION))
    expect(half.error.code).toBe('stream_interrupted')
    const empty = await thrownBy(generate([]).vertex.chat(QUESTION))
    expect(empty.error.code).toBe('bad_response')
  })

  it.each(['generate', 'predict'] as const)(
    'throws only FacetErrors, whatever %s brings',
    async (protocol) => {
      const prediction = fc.json().map((json) => `{"predictions": [${json}]}`)
      const piece = fc.oneof(fc.string(), fc.json(), prediction, fc.constant(line('x')))
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async (pieces) => {
          const sent = pieces.map((piece) => `${piece}\n`)
          try {
            await collect(vertexOf(() => new Response(body(sent)), { protocol }).vertex.chat(QUESTION))
          } catch (error) {
            expect(error).toBeInstanceOf(FacetError)
            expect((error as FacetError).code).not.toBe('internal')
          }
        }),
        { numRuns: 100 },
      )
    },
  )

  it.each<[string, ChatRequest, string]>([
    ['tools', { ...QUESTION, tools: [{ name: 'ls' }] }, 'tools'],
    ['logprobs', { ...QUESTION, logprobs: 1 }, 'logprobs'],
    ['a schema', { ...QUESTION, responseFormat: { type: 'json_object' } }, 'responseFormat'],
    ['token ids', { prompt: [1, 2] }, 'prompt'],
    ['forged turns', { messages: [{ role: 'user', content: 'x<end_of_turn>' }] }, 'messages[0].content'],
  ])('refuses %s before sending', async (_, request, field) => {
    const { vertex, calls } = generate([])
    expect((await thrownBy(vertex.chat(request))).error).toMatchObject({ field })
    expect(calls).toEqual([])
  })
})
