import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { FacetError } from '../../src/errors.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, frames, HELLO, type Json, post } from './http.ts'

const edge = (backend = new FakeBackend()) => createEdge({ backends: [backend] })

describe('a chat completion', () => {
  it('has the shape of OpenAI', async () => {
    const response = await post(edge(), CHAT, HELLO)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{24}$/),
      object: 'chat.completion',
      created: expect.closeTo(Date.now() / 1000, -2),
      model: 'fake-model',
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{8}$/),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello!', refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    })
  })

  it('hands every parameter to the backend', async () => {
    const backend = new FakeBackend()
    await post(edge(backend), CHAT, {
      model: 'fake-model',
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
        { role: 'assistant', content: 'c', refusal: null, annotations: [], tool_calls: [] },
        { role: 'user', content: '' },
      ],
      max_completion_tokens: 9,
      stop: ['x', 'y', 'z', '1', '2'],
      seed: 7,
      temperature: 0,
      top_p: 0.5,
      top_k: 3,
      min_p: 0.1,
      presence_penalty: -2,
      frequency_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { 12: -100 },
      logprobs: true,
      top_logprobs: 2,
      user: 'somebody',
      metadata: {},
      store: false,
      tools: null,
      response_format: { type: 'text' },
    })
    expect(backend.requests).toEqual([
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'ab' },
          { role: 'assistant', content: 'c' },
          { role: 'user', content: '' },
        ],
        maxTokens: 9,
        stop: ['x', 'y', 'z', '1', '2'],
        seed: 7,
        temperature: 0,
        topP: 0.5,
        topK: 3,
        minP: 0.1,
        presencePenalty: -2,
        frequencyPenalty: 2,
        repetitionPenalty: 1.1,
        logitBias: { 12: -100 },
        logprobs: 2,
      },
    ])
  })

  it('leaves to the model what the request leaves out', async () => {
    const backend = new FakeBackend()
    await post(edge(backend), CHAT, {
      ...HELLO,
      stop: null,
      n: null,
      top_k: -1,
      temperature: null,
      stream: null,
    })
    expect(backend.requests).toEqual([{ messages: HELLO.messages }])
  })

  it('gives log-probabilities with their alternatives, in numbers JSON has', async () => {
    const body: Json = await (await post(edge(), CHAT, { ...HELLO, logprobs: true, top_logprobs: 2 })).json()
    expect(body.choices[0].logprobs.content).toHaveLength(3)
    expect(body.choices[0].logprobs.content[1]).toEqual({
      token: 'lo',
      logprob: -0.25,
      bytes: [108, 111],
      top_logprobs: [
        { token: 'lo', logprob: -0.25, bytes: [108, 111] },
        { token: 'alternative 1', logprob: -9999, bytes: expect.any(Array) },
      ],
    })
  })

  it('draws n choices at the same time, with seeds that differ, and counts the prompt once', async () => {
    const backend = new FakeBackend()
    const body: Json = await (await post(edge(backend), CHAT, { ...HELLO, n: 3, seed: 5 })).json()
    expect(body.choices.map((choice: Json) => choice.index)).toEqual([0, 1, 2])
    expect(backend.requests.map(({ seed }) => seed)).toEqual([5, 6, 7])
    expect(backend.mostActive).toBe(3)
    expect(body.usage).toEqual({ prompt_tokens: 5, completion_tokens: 9, total_tokens: 14 })
  })

  it('draws many choices a few at a time, so that they fit the queue of an engine', async () => {
    const backend = new FakeBackend()
    const body: Json = await (await post(edge(backend), CHAT, { ...HELLO, n: 128, seed: 0 })).json()
    expect(body.choices.map((choice: Json) => choice.message.content)).toEqual(Array(128).fill('Hello!'))
    expect(new Set(backend.requests.map(({ seed }) => seed)).size).toBe(128)
    expect(backend.mostActive).toBeLessThanOrEqual(4)
  })

  it('gives the byte of a token that is part of a character', async () => {
    const backend = new FakeBackend({ pieces: ['<0xE6>', 'ö'] })
    const body: Json = await (await post(edge(backend), CHAT, { ...HELLO, logprobs: true })).json()
    expect(body.choices[0].logprobs.content.map(({ bytes }: Json) => bytes)).toEqual([[0xe6], [0xc3, 0xb6]])
  })

  it('reports cached prompt tokens when the backend knows', async () => {
    const usage = { promptTokens: 5, completionTokens: 1, cachedTokens: 4 }
    const backend = new FakeBackend({ finish: { usage, reason: 'length' } })
    const body: Json = await (await post(edge(backend), CHAT, HELLO)).json()
    expect(body.usage.prompt_tokens_details).toEqual({ cached_tokens: 4 })
    expect(body.choices[0].finish_reason).toBe('length')
  })

  it('asks the backend whose model is named, the first by default', async () => {
    const [one, two] = [new FakeBackend({ id: 'one' }), new FakeBackend({ id: 'two' })]
    const app = createEdge({ backends: [one, two] })
    expect(((await (await post(app, CHAT, { ...HELLO, model: 'two' })).json()) as Json).model).toBe('two')
    expect(((await (await post(app, CHAT, HELLO)).json()) as Json).model).toBe('one')
    const response = await post(app, CHAT, { ...HELLO, model: 'gpt-4o' })
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({
      error: {
        message: 'The model "gpt-4o" does not exist here; ask for one of: one, two, or leave model out.',
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
      },
    })
  })
})

describe('a streamed chat completion', () => {
  it('opens with the role, closes with the reason, and ends with [DONE]', async () => {
    const response = await post(edge(), CHAT, { ...HELLO, stream: true })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const all = await frames(response)
    expect(all.at(-1)).toBe('[DONE]')
    const chunks = all.slice(0, -1)
    const choice = (delta: object, reason: string | null = null) => ({
      index: 0,
      delta,
      logprobs: null,
      finish_reason: reason,
    })
    expect(chunks.map(({ choices }) => choices)).toEqual([
      [choice({ role: 'assistant', content: '', refusal: null })],
      [choice({ content: 'Hel' })],
      [choice({ content: 'lo' })],
      [choice({ content: '!' })],
      [choice({}, 'stop')],
    ])
    const { choices, ...head } = chunks[0]
    for (const chunk of chunks) expect(chunk).toEqual({ ...head, choices: chunk.choices })
    expect(head).toMatchObject({ object: 'chat.completion.chunk', model: 'fake-model' })
    expect(head).not.toHaveProperty('usage')
  })

  it('adds usage in a last chunk without choices when asked', async () => {
    const body = { ...HELLO, stream: true, stream_options: { include_usage: true } }
    const chunks = (await frames(await post(edge(), CHAT, body))).slice(0, -1)
    const last = chunks.pop()
    expect(last).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    })
    for (const chunk of chunks) expect(chunk.usage).toBeNull()
  })

  it('interleaves n choices by their index', async () => {
    const first = gate()
    const backend = new FakeBackend({
      pieces: ['a', 'b'],
      before: (step, { seed }) => (seed === 1 && step === 1 ? first.passed : undefined),
    })
    const response = await post(edge(backend), CHAT, { ...HELLO, stream: true, n: 2, seed: 1 })
    first.open()
    const chunks = (await frames(response)).slice(0, -1)
    for (const index of [0, 1]) {
      const own = chunks.filter(({ choices }) => choices[0].index === index)
      expect(own.map(({ choices }) => choices[0].delta.content ?? choices[0].finish_reason)).toEqual([
        '',
        'a',
        'b',
        'stop',
      ])
    }
  })

  it('sends each piece as it comes', async () => {
    const doors = [gate(), gate(), gate(), gate()]
    const backend = new FakeBackend({ before: (step) => doors[step]!.passed })
    const pending = post(edge(backend), CHAT, { ...HELLO, stream: true })
    doors[0]!.open()
    const reader = (await pending).body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toMatch(/"role":"assistant".*\n\n.*"Hel"/)
    doors[1]!.open()
    expect((await reader.read()).value).toContain('"lo"')
    for (const door of doors) door.open()
    while (!(await reader.read()).done);
    expect(backend.active).toBe(0)
  })
})

describe('a backend that fails', () => {
  const failing = (step: number, error: unknown) =>
    new FakeBackend({
      before: (now) => {
        if (now === step) throw error
      },
    })
  const full = new FacetError('queue_full', 'All slots are busy; try again.', { retryAfterMs: 1500 })

  it.each([true, false])(
    'before content answers with the status of its error (stream: %s)',
    async (stream) => {
      const response = await post(edge(failing(0, full)), CHAT, { ...HELLO, stream })
      expect(response.status).toBe(429)
      expect(response.headers.get('retry-after')).toBe('2')
      expect(await response.json()).toEqual({
        error: { message: full.message, type: 'rate_limit_error', param: null, code: 'queue_full' },
      })
    },
  )

  it('after content sends the error in the stream, which then ends without [DONE]', async () => {
    const backend = failing(2, new FacetError('out_of_memory', 'No memory is left; ask for less.'))
    const response = await post(edge(backend), CHAT, { ...HELLO, stream: true })
    expect(response.status).toBe(200)
    const all = await frames(response)
    expect(all.at(-1)).toEqual({
      error: {
        message: 'No memory is left; ask for less.',
        type: 'server_error',
        param: null,
        code: 'out_of_memory',
      },
    })
    expect(all.at(-2).choices[0].delta.content).toBe('lo')
    expect(all).not.toContain('[DONE]')
  })

  it('names the field as the wire does', async () => {
    const wrong = new FacetError('invalid_request', 'logitBias[9] names no token; leave it out.', {
      field: 'logitBias[9]',
    })
    const response = await post(edge(failing(0, wrong)), CHAT, HELLO)
    expect((await response.json()).error).toMatchObject({
      message: 'logit_bias[9] names no token; leave it out.',
      param: 'logit_bias[9]',
    })
  })

  it('after content fails a whole answer', async () => {
    const response = await post(edge(failing(2, full)), CHAT, HELLO)
    expect(response.status).toBe(429)
  })

  it.each([true, false])('in one of n choices stops the others (stream: %s)', async (stream) => {
    const backend = new FakeBackend({
      before: (step, { seed }) => {
        if (seed === 2 && step === 1) throw full
        return step === 1 ? gate().passed : undefined
      },
    })
    const response = await post(edge(backend), CHAT, { ...HELLO, stream, n: 3, seed: 0 })
    if (stream) expect((await frames(response)).at(-1).error.code).toBe('queue_full')
    else expect(response.status).toBe(429)
    await backend.idle()
    expect(backend.aborted).toBe(2)
  })

  it('without a finish is an error, not an answer', async () => {
    const backend = new FakeBackend({ unfinished: true })
    expect((await post(edge(backend), CHAT, HELLO)).status).toBe(502)
    const all = await frames(await post(edge(backend), CHAT, { ...HELLO, stream: true }))
    expect(all.at(-1).error.code).toBe('bad_response')
  })

  it('with a bug is reported to the server and gives a 500 without a stack', async () => {
    const reported: FacetError[] = []
    const bug = failing(0, new TypeError('x is undefined'))
    const app = createEdge({ backends: [bug], report: (error) => reported.push(error) })
    const response = await post(app, CHAT, HELLO)
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('.ts')
    expect(reported.map(({ cause }) => cause)).toEqual([expect.any(TypeError)])
  })
})

describe('a client that leaves', () => {
  const never = () => new FakeBackend({ before: (step) => (step === 2 ? gate().passed : undefined) })

  it.each([1, 3])('a stream stops all %i choices within a step', async (n) => {
    const backend = never()
    const response = await post(edge(backend), CHAT, { ...HELLO, stream: true, n })
    const reader = response.body!.getReader()
    while (backend.steps < 2 * n) await reader.read()
    // By the next turn the stream waits for the backend, which only an abort can end.
    await new Promise((resolve) => setImmediate(resolve))
    await reader.cancel()
    await backend.idle()
    expect(backend.aborted).toBe(n)
    expect(backend.steps).toBe(2 * n)
  })

  it.each([1, 3])('before a whole answer is there stops all %i choices', async (n) => {
    const backend = never()
    const controller = new AbortController()
    const pending = post(edge(backend), CHAT, { ...HELLO, n }, { signal: controller.signal })
    while (backend.steps < 2 * n) await Promise.resolve()
    controller.abort()
    expect((await pending).status).toBe(499)
    await backend.idle()
    expect(backend.aborted).toBe(n)
  })

  it('while nobody reads the stream stops it too', async () => {
    const backend = never()
    const controller = new AbortController()
    const body = { ...HELLO, stream: true }
    await post(edge(backend), CHAT, body, { signal: controller.signal })
    controller.abort()
    await backend.idle()
    expect(backend.steps).toBeLessThanOrEqual(2)
  })

  it('makes the backend run no more than a chunk ahead of a slow reader', async () => {
    const backend = new FakeBackend({ pieces: Array(1000).fill('x') })
    const response = await post(edge(backend), CHAT, { ...HELLO, stream: true })
    const reader = response.body!.getReader()
    for (let chunk = 0; chunk < 3; chunk++) {
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
      expect(backend.steps).toBeLessThan(40 * (chunk + 1))
      await reader.read()
    }
    await reader.cancel()
    await backend.idle()
  })
})

it('answers 200 streams at once and lets go of all of them', async () => {
  const everyone = gate()
  const backend = new FakeBackend({
    pieces: Array(20).fill('word '),
    before: (step) => (step === 5 ? everyone.passed : undefined),
  })
  const app = edge(backend)
  const readers = Array.from({ length: 200 }, async () =>
    frames(await post(app, CHAT, { ...HELLO, stream: true })),
  )
  while (backend.steps < 1000) await new Promise((resolve) => setImmediate(resolve))
  expect(backend.active).toBe(200)
  everyone.open()
  const all = await Promise.all(readers)
  for (const chunks of all) expect(chunks).toHaveLength(23)
  expect(backend.active).toBe(0)
  expect(backend.aborted).toBe(0)
})
