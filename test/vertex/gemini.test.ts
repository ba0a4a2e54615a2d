/** Gemini through Google's own library, against a server that answers as Vertex AI does. */
import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { FacetError } from '../../src/errors.ts'
import type { Backend, ChatEvent, ChatRequest } from '../../src/types.ts'
import { type Answer, fakeGoogle } from '../google/fake-google.ts'
import { geminiAt, modelSaid, piece, reachLoopback, sse } from './gemini-server.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'Which answer is better?' }] }
reachLoopback()

async function thrownBy(backend: Backend, request: ChatRequest = QUESTION): Promise<FacetError> {
  try {
    await collect(backend.chat(request))
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    return error as FacetError
  }
  return expect.unreachable('nothing was thrown')
}

describe('Gemini', () => {
  it('is asked in its own schema and answers as any Backend', async () => {
    await using google = await fakeGoogle(() =>
      sse(
        piece(modelSaid('The ')),
        piece(modelSaid('first.')),
        piece(
          { finishReason: 'STOP' },
          { usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 3, totalTokenCount: 15 } },
        ),
      ),
    )
    const events: ChatEvent[] = []
    const request: ChatRequest = {
      messages: [
        { role: 'system', content: 'You judge.' },
        { role: 'user', content: 'A or B?' },
      ],
      temperature: 0,
      topP: 0.5,
      maxTokens: 20,
      stop: ['\n'],
      responseFormat: { type: 'json_schema', name: 'verdict', schema: { type: 'object' } },
    }
    for await (const event of geminiAt(google).chat(request)) events.push(event)
    expect(events).toEqual([
      { type: 'start', id: '', model: 'gemini-2.5-pro', backend: 'gemini-2.5-pro' },
      { type: 'text', text: 'The ' },
      { type: 'text', text: 'first.' },
      { type: 'finish', reason: 'stop', usage: { promptTokens: 9, completionTokens: 6 } },
    ])
    const [asked] = google.asked
    expect(asked!.path).toBe(
      '/v1/projects/facet-test/locations/europe-west4/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse',
    )
    expect(asked!.headers.authorization).toBe('Bearer ya29.token')
    expect(JSON.parse(asked!.body)).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'A or B?' }] }],
      systemInstruction: { role: 'system', parts: [{ text: 'You judge.' }] },
      generationConfig: {
        temperature: 0,
        topP: 0.5,
        maxOutputTokens: 20,
        stopSequences: ['\n'],
        responseMimeType: 'application/json',
        responseSchema: { type: 'object' },
      },
    })
  })

  it('reaches a tuned endpoint by its name', async () => {
    await using google = await fakeGoogle(() => sse(piece({ ...modelSaid('x'), finishReason: 'MAX_TOKENS' })))
    const name = 'projects/facet-test/locations/europe-west4/endpoints/42'
    expect(await collect(geminiAt(google, { model: name }).chat(QUESTION))).toMatchObject({
      text: 'x',
      finishReason: 'length',
    })
    expect(google.asked[0]!.path).toBe(`/v1/${name}:streamGenerateContent?alt=sse`)
  })

  it('calls tools, and is given their results', async () => {
    await using google = await fakeGoogle(() =>
      sse(
        piece({
          content: { parts: [{ functionCall: { name: 'weather', args: { city: 'Bern' } } }] },
          finishReason: 'STOP',
        }),
      ),
    )
    const tools = [{ name: 'weather', description: 'Weather', parameters: { type: 'object' }, strict: true }]
    const messages: ChatRequest['messages'] = [
      { role: 'user', content: 'And now?' },
      {
        role: 'assistant',
        content: '',
        toolCalls: [{ id: 'c1', name: 'weather', arguments: '{"city":"Bern"}' }],
      },
      { role: 'tool', toolCallId: 'c1', content: 'sunny' },
    ]
    const answer = await collect(geminiAt(google).chat({ messages, tools, toolChoice: { name: 'weather' } }))
    expect(answer).toMatchObject({
      finishReason: 'tool_calls',
      toolCalls: [{ id: 'call_0', name: 'weather', arguments: '{"city":"Bern"}' }],
    })
    expect(JSON.parse(google.asked[0]!.body)).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'And now?' }] },
        { role: 'model', parts: [{ functionCall: { name: 'weather', args: { city: 'Bern' } } }] },
        { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { result: 'sunny' } } }] },
      ],
      tools: [
        {
          functionDeclarations: [{ name: 'weather', description: 'Weather', parameters: { type: 'object' } }],
        },
      ],
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['weather'] } },
    })
  })

  it.each<[string, Answer, string]>([
    [
      'a quota',
      {
        status: 429,
        json: { error: { code: 429, message: 'Quota exceeded.', status: 'RESOURCE_EXHAUSTED' } },
      },
      'rate_limited',
    ],
    [
      'a model that is unknown',
      { status: 404, json: { error: { code: 404, message: 'Not found.', status: 'NOT_FOUND' } } },
      'not_found',
    ],
    [
      'an outage',
      { status: 503, json: { error: { code: 503, message: 'Try later.', status: 'UNAVAILABLE' } } },
      'unavailable',
    ],
    ['an answer without an end', sse(piece(modelSaid(''))), 'bad_response'],
    ['an answer cut in the middle', sse(piece(modelSaid('half'))), 'stream_interrupted'],
    ['a broken call', sse(piece({ finishReason: 'MALFORMED_FUNCTION_CALL' })), 'bad_response'],
    ['HTML', { text: '<html>' }, 'bad_response'],
  ])('gives %s its code', async (_, answer, code) => {
    await using google = await fakeGoogle(() => answer)
    const error = await thrownBy(geminiAt(google))
    expect(error).toMatchObject({ code, backend: 'gemini-2.5-pro' })
    expect(error.message).not.toContain('ya29')
  })

  it('says what was blocked', async () => {
    await using google = await fakeGoogle(() =>
      sse(`data: ${JSON.stringify({ promptFeedback: { blockReason: 'SAFETY' } })}\n\n`),
    )
    expect((await collect(geminiAt(google).chat(QUESTION))).finishReason).toBe('content_filter')
  })

  it('lets the error of its sign-in through, and refuses what its schema lacks', async () => {
    await using google = await fakeGoogle(() => sse())
    const refused = new FacetError('unauthorized', 'Google refused to sign in.')
    const auth = { token: () => Promise.reject(refused), refused: () => {} }
    expect(await thrownBy(geminiAt(google, { auth }))).toMatchObject({
      code: 'unauthorized',
      message: refused.message,
    })
    expect(await thrownBy(geminiAt(google), { ...QUESTION, minP: 0.1 })).toMatchObject({
      code: 'unsupported',
      field: 'minP',
    })
    expect(google.asked).toEqual([])
  })

  it('stops waiting when the caller leaves', async () => {
    await using google = await fakeGoogle(() => undefined)
    const control = new AbortController()
    const chat = geminiAt(google).chat(QUESTION, { signal: control.signal })[Symbol.asyncIterator]()
    const next = chat.next()
    control.abort()
    await expect(next).rejects.toMatchObject({ code: 'aborted' })
  })
})
