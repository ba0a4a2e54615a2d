import { describe, expect, it, vi } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { type ClientCallOptions, createClient } from '../../src/client/http.ts'
import type { ClientOptions } from '../../src/client/options.ts'
import { FacetError } from '../../src/errors.ts'
import type { ChatEvent, ChatRequest, Usage } from '../../src/types.ts'
import {
  body,
  type Call,
  data,
  done,
  eventStream,
  FakeClock,
  fakeFetch,
  finish,
  text,
  usage,
} from './fake-server.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'How do I list files?' }] }
const BASE = 'http://127.0.0.1:1/v1'

function clientOf(
  answer: (call: Call) => Response | Promise<Response>,
  options: Partial<ClientOptions> = {},
): { client: ReturnType<typeof createClient>; calls: Call[] } {
  const { fetch, calls } = fakeFetch(answer)
  return { client: createClient({ baseURL: BASE, fetch, ...options }), calls }
}

/** Everything one chat gave, and what it threw. */
async function run(
  answer: (call: Call) => Response | Promise<Response>,
  options: Partial<ClientOptions> = {},
  own: ClientCallOptions = {},
): Promise<{ events: ChatEvent[]; text: string; error: FacetError | undefined; usages: Usage[] }> {
  const events: ChatEvent[] = []
  const usages: Usage[] = []
  let error: unknown
  try {
    const { client } = clientOf(answer, options)
    for await (const event of client.chat(QUESTION, { onUsage: (usage) => usages.push(usage), ...own })) {
      events.push(event)
    }
  } catch (thrown) {
    error = thrown
    expect(thrown).toBeInstanceOf(FacetError)
  }
  const said = events.map((event) => (event.type === 'text' ? event.text : '')).join('')
  return { events, text: said, error: error as FacetError | undefined, usages }
}

const stream =
  (...pieces: string[]): (() => Response) =>
  () =>
    eventStream(body(pieces))

describe('an answer over HTTP', () => {
  it('streams start, text and one finish with the usage that follows it', async () => {
    const { events, error, usages } = await run(
      stream(
        data({ choices: [{ delta: { role: 'assistant', content: '' } }] }),
        text('ls'),
        text(' -l'),
        finish(),
        usage(7, 2),
        done,
      ),
    )
    expect(error).toBeUndefined()
    expect(events).toEqual([
      { type: 'start', id: 'chatcmpl-1', model: 'tiny', backend: '127.0.0.1:1' },
      { type: 'text', text: 'ls' },
      { type: 'text', text: ' -l' },
      { type: 'finish', reason: 'stop', usage: { promptTokens: 7, completionTokens: 2 } },
    ])
    expect(usages).toEqual([{ promptTokens: 7, completionTokens: 2 }])
  })

  it('asks as OpenAI documents it, with the key as Bearer', async () => {
    const { client, calls } = clientOf(stream(text('x'), finish()), {
      apiKey: 'sk-secret',
      model: 'own',
      headers: { 'x-team': 'blue' },
      baseURL: 'https://example.org/v1/?api-version=2',
    })
    const request = {
      ...QUESTION,
      temperature: 0,
      topP: 0.5,
      topK: 3,
      minP: 0.1,
      seed: 4,
      maxTokens: 9,
      stop: ['\n'],
      presencePenalty: 1,
      frequencyPenalty: 2,
      repetitionPenalty: 1.1,
      logitBias: { 5: -100 },
      logprobs: 2,
    }
    await collect(client.chat(request))
    expect(calls[0]).toMatchObject({
      url: 'https://example.org/v1/chat/completions?api-version=2',
      method: 'POST',
    })
    expect(Object.fromEntries(calls[0]!.headers)).toMatchObject({
      authorization: 'Bearer sk-secret',
      'x-team': 'blue',
      'content-type': 'application/json',
    })
    expect(calls[0]!.body).toEqual({
      model: 'own',
      messages: QUESTION.messages,
      temperature: 0,
      top_p: 0.5,
      top_k: 3,
      min_p: 0.1,
      seed: 4,
      max_tokens: 9,
      stop: ['\n'],
      presence_penalty: 1,
      frequency_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { 5: -100 },
      logprobs: true,
      top_logprobs: 2,
      stream: true,
      stream_options: { include_usage: true },
    })
    await collect(client.chat({ ...QUESTION, model: 'other' }))
    expect(calls[1]!.body).toEqual({
      model: 'other',
      messages: QUESTION.messages,
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  it('knows of its model what it was told', () => {
    const spec = { tier: 2, price: { prompt: 1, completion: 2 }, contextTokens: 8192 }
    const { client } = clientOf(stream(), { model: 'gemma-2b-it', spec })
    expect(client.model).toEqual({ id: 'gemma-2b-it', ...spec })
  })

  it('sends a raw prompt to /completions and reads its text', async () => {
    const chunk = { choices: [{ index: 0, text: 'abc', finish_reason: null }] }
    const { client, calls } = clientOf(
      stream(data(chunk), data({ choices: [{ text: '', finish_reason: 'length' }] }), done),
    )
    const answer = await collect(client.chat({ prompt: [2, 106, 7], logprobs: 0 }))
    expect(answer).toMatchObject({ text: 'abc', finishReason: 'length' })
    expect(answer.usage).toMatchObject({ promptTokens: 3, estimated: true })
    expect(calls[0]!.url).toBe(`${BASE}/completions`)
    expect(calls[0]!.body).toMatchObject({ prompt: [2, 106, 7], logprobs: 0 })
    expect(calls[0]!.body).not.toHaveProperty('model')
  })

  it('reads log-probabilities of both endpoints and tool calls', async () => {
    const chat = {
      content: [{ token: 'a', logprob: -0.5, id: 7, top_logprobs: [{ token: 'b', logprob: -1 }] }],
    }
    const legacy = { tokens: ['a'], token_logprobs: [-0.5], top_logprobs: [{ b: -1 }] }
    const tool = { index: 0, id: 'c1', function: { name: 'f', arguments: '{"x"' } }
    const { events } = await run(
      stream(
        text('a', { logprobs: chat }),
        data({ choices: [{ text: 'a', logprobs: legacy }] }),
        data({ choices: [{ delta: { tool_calls: [tool, { index: 0, function: { arguments: ':1}' } }] } }] }),
        finish('tool_calls'),
      ),
    )
    expect(events.slice(1, -1)).toEqual([
      {
        type: 'text',
        text: 'a',
        logprobs: [{ id: 7, text: 'a', logprob: -0.5, top: [{ id: -1, text: 'b', logprob: -1 }] }],
      },
      {
        type: 'text',
        text: 'a',
        logprobs: [{ id: -1, text: 'a', logprob: -0.5, top: [{ id: -1, text: 'b', logprob: -1 }] }],
      },
      { type: 'tool', index: 0, id: 'c1', name: 'f', arguments: '{"x"' },
      { type: 'tool', index: 0, arguments: ':1}' },
    ])
    expect(events.at(-1)).toMatchObject({ reason: 'tool_calls' })
  })

  it('takes an answer of no text as an answer', async () => {
    const { events } = await run(stream(finish(), done))
    expect(events.map(({ type }) => type)).toEqual(['start', 'finish'])
  })

  it('is complete with a finish_reason, even when the stream breaks or stalls before the usage', async () => {
    const broken = await run(() => eventStream(body([text('ok'), finish()], 'break')))
    expect(broken.events.at(-1)).toMatchObject({ type: 'finish', usage: { estimated: true } })
    const clock = new FakeClock()
    const stalled = run(() => eventStream(body([text('ok'), finish()], 'stall')), { clock })
    await clock.expire(2000)
    expect((await stalled).events.at(-1)).toMatchObject({ type: 'finish', reason: 'stop' })
    expect(clock.pending).toBe(0)
  })

  it('lists the models with what the server says about them', async () => {
    const entries = [{ id: 'tiny', object: 'model', created: 5, description: 'small', max_model_len: 512 }]
    const { client, calls } = clientOf(() => Response.json({ object: 'list', data: entries }))
    expect(await client.models()).toEqual([
      { id: 'tiny', created: 5, description: 'small', contextTokens: 512 },
    ])
    expect(calls[0]).toMatchObject({ url: `${BASE}/models`, method: 'GET' })
    const { client: wrong } = clientOf(() => new Response('<html>'))
    await expect(wrong.models()).rejects.toMatchObject({ code: 'bad_response' })
  })
})

describe('an answer that is not complete', () => {
  it('throws bad_response when the stream is empty, also where keepalives came', async () => {
    for (const pieces of [
      [],
      [': ping\n\n'],
      [done],
      [data({ choices: [{ delta: { role: 'assistant' } }] })],
    ]) {
      const { events, error } = await run(stream(...pieces))
      expect(events).toEqual([])
      expect(error).toMatchObject({ code: 'bad_response', backend: '127.0.0.1:1' })
    }
  })

  it('throws stream_interrupted when it ends after content without a finish_reason', async () => {
    for (const last of ['', done]) {
      const { text: said, error, usages } = await run(stream(text('half'), last))
      expect(said).toBe('half')
      expect(error).toMatchObject({ code: 'stream_interrupted', retry: 'never' })
      expect(usages).toEqual([{ promptTokens: 5, completionTokens: 1, estimated: true }])
    }
  })

  it('tells a connection that breaks before content from one that breaks after', async () => {
    expect((await run(() => eventStream(body([], 'break')))).error).toMatchObject({
      code: 'connection_failed',
    })
    const after = await run(() => eventStream(body([text('half')], 'break')))
    expect(after.error).toMatchObject({ code: 'stream_interrupted' })
  })

  it('throws what the server sends as an error in the stream', async () => {
    const error = { message: 'The queue is full.', type: 'server_error', code: 'queue_full' }
    for (const piece of [data({ error }), `event: error\n${data(error)}`]) {
      const { error: thrown } = await run(stream(text('half'), piece))
      expect(thrown).toMatchObject({ code: 'queue_full', message: 'The queue is full.' })
    }
    expect((await run(stream(data({ error: 'boom' })))).error).toMatchObject({
      code: 'internal',
      message: 'boom',
    })
  })

  it('refuses nonsense, as bad_response before content and stream_interrupted after', async () => {
    const nonsense = [
      'data: {"choices": [\n\n',
      'data: 5\n\n',
      data({ choices: 5 }),
      data({ choices: [5] }),
      data({ choices: [{ delta: 'x' }] }),
      data({ choices: [{ delta: { content: 5 } }] }),
      data({ choices: [{ delta: { tool_calls: {} } }] }),
      finish('abort'),
    ]
    for (const piece of nonsense) {
      expect((await run(stream(piece))).error).toMatchObject({ code: 'bad_response' })
      expect((await run(stream(text('half'), piece))).error).toMatchObject({ code: 'stream_interrupted' })
    }
  })

  it('refuses another content type, and reads an error sent with status 200', async () => {
    const html = await run(() => new Response('<html>', { headers: { 'content-type': 'text/html' } }))
    expect(html.error).toMatchObject({
      code: 'bad_response',
      message: `${BASE}/chat/completions answered as text/html instead of text/event-stream; check baseURL.`,
    })
    const json = await run(() =>
      Response.json({ error: { message: 'No such model.', code: 'model_not_found' } }),
    )
    expect(json.error).toMatchObject({ code: 'model_not_found', message: 'No such model.' })
  })
})

describe('deadlines', () => {
  const timeouts = { firstTokenMs: 5000, idleMs: 300, totalMs: 60_000 }

  it('gives up when the server accepts and says nothing', async () => {
    const clock = new FakeClock()
    const silent = run(() => new Promise(() => {}), { clock, timeouts })
    await clock.expire(5000)
    expect((await silent).error).toMatchObject({
      code: 'timeout',
      message: '127.0.0.1:1 sent no content within 5 s (timeouts.firstTokenMs).',
    })
    expect(clock.pending).toBe(0)
  })

  it('counts content and not keepalives, before the first token and between two', async () => {
    for (const [pieces, name] of [
      [[], 'firstTokenMs'],
      [[text('half')], 'idleMs'],
    ] as const) {
      const clock = new FakeClock()
      let cancelled = false
      const keepalives = body(
        pieces,
        (control) => {
          clock.advance(100)
          control.enqueue(new TextEncoder().encode(': keepalive\n\n'))
        },
        () => {
          cancelled = true
        },
      )
      const { error } = await run(() => eventStream(keepalives), { clock, timeouts })
      expect(error).toMatchObject({ code: 'timeout', message: expect.stringContaining(name) })
      expect(cancelled).toBe(true)
    }
  })

  it('starts the idle time over at each content', async () => {
    const clock = new FakeClock()
    const slow = body(
      ['', '', '', '', ''].map(() => text('x')),
      (control) => {
        control.enqueue(new TextEncoder().encode(finish()))
        control.close()
      },
    )
    const { client } = clientOf(() => eventStream(slow), { clock, timeouts })
    const seen: string[] = []
    for await (const event of client.chat(QUESTION)) {
      seen.push(event.type)
      // Longer than idleMs: time the caller takes is not the server's.
      clock.advance(1000)
    }
    expect(seen.at(-1)).toBe('finish')
    expect(seen).toHaveLength(7)
  })

  it('ends a stream that drips for longer than the total', async () => {
    const clock = new FakeClock()
    const drip = body([], (control) => {
      clock.advance(200)
      control.enqueue(new TextEncoder().encode(text('x')))
    })
    const { error } = await run(() => eventStream(drip), { clock, timeouts })
    expect(error).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('did not finish within 60 s'),
    })
  })

  it('takes timeouts of the call before those of the client, and Infinity as none', async () => {
    const clock = new FakeClock()
    const silent = run(
      () => new Promise(() => {}),
      { clock, timeouts },
      {
        timeouts: { firstTokenMs: 10, totalMs: Number.POSITIVE_INFINITY },
      },
    )
    await clock.expire(10)
    expect((await silent).error).toMatchObject({ code: 'timeout', message: expect.stringContaining('10 ms') })
  })
})

describe('stopping', () => {
  it('cancels the request when the loop is left', async () => {
    const cancel = vi.fn()
    const usages: Usage[] = []
    const clock = new FakeClock()
    const { client, calls } = clientOf(() => eventStream(body([text('a'), text('b')], 'stall', cancel)), {
      clock,
    })
    for await (const event of client.chat(QUESTION, { onUsage: (usage) => usages.push(usage) })) {
      if (event.type === 'text') break
    }
    expect(cancel).toHaveBeenCalledOnce()
    expect(calls[0]!.signal.aborted).toBe(true)
    expect(usages).toEqual([{ promptTokens: 5, completionTokens: 1, estimated: true }])
    expect(clock.pending).toBe(0)
  })

  it('aborts before the request, during it and in the middle of the answer', async () => {
    const early = AbortSignal.abort()
    const never = vi.fn(() => new Promise<Response>(() => {}))
    expect((await run(never, {}, { signal: early })).error).toMatchObject({ code: 'aborted' })
    expect(never).not.toHaveBeenCalled()

    const waiting = new AbortController()
    const during = run(() => new Promise(() => waiting.abort()), {}, { signal: waiting.signal })
    expect((await during).error).toMatchObject({ code: 'aborted', message: 'The request was aborted.' })

    const middle = new AbortController()
    const cancel = vi.fn()
    const stalls = body([text('half')], () => middle.abort(), cancel)
    const { text: said, error } = await run(() => eventStream(stalls), {}, { signal: middle.signal })
    expect([said, error?.code]).toEqual(['half', 'aborted'])
    expect(cancel).toHaveBeenCalledOnce()
  })

  it('says timeout where the signal is a time limit, and throws a FacetError given as reason as it is', async () => {
    const limit = AbortSignal.abort(new DOMException('late', 'TimeoutError'))
    expect((await run(() => eventStream(''), {}, { signal: limit })).error).toMatchObject({ code: 'timeout' })
    const reason = new FacetError('unavailable', 'The pool is draining.')
    const drained = await run(() => eventStream(''), {}, { signal: AbortSignal.abort(reason) })
    expect(drained.error).toBe(reason)
  })
})

describe('a refusal', () => {
  const refuse = async (status: number, answer: unknown, headers: HeadersInit = {}): Promise<FacetError> => {
    const clock = new FakeClock()
    const { error } = await run(() => Response.json(answer, { status, headers }), { clock })
    return error!
  }

  it('has the code of the error body, and of the status where the body has none', async () => {
    const openai = {
      error: {
        message: 'Too  long.\nBy far.',
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
    }
    expect(await refuse(400, openai)).toMatchObject({
      code: 'context_length_exceeded',
      message: 'Too long. By far.',
      field: 'messages',
      status: 400,
      retry: 'elsewhere',
    })
    const cases: readonly [number, unknown, string][] = [
      [401, { error: { message: 'x', code: 'invalid_api_key' } }, 'unauthorized'],
      [429, { error: { message: 'x', code: 'insufficient_quota' } }, 'forbidden'],
      [
        404,
        { error: { message: 'x', type: 'invalid_request_error', code: 'model_not_found' } },
        'model_not_found',
      ],
      [404, { error: { message: 'x', type: 'invalid_request_error' } }, 'not_found'],
      [
        400,
        {
          object: 'error',
          message: "This model's maximum context length is 8",
          type: 'BadRequestError',
          code: 400,
        },
        'context_length_exceeded',
      ],
      [503, [{ error: { code: 503, message: 'x', status: 'UNAVAILABLE' } }], 'unavailable'],
      [400, {}, 'invalid_request'],
      [403, null, 'forbidden'],
      [405, 'x', 'method_not_allowed'],
      [413, {}, 'request_too_large'],
      [418, {}, 'invalid_request'],
      [422, {}, 'invalid_request'],
      [429, {}, 'rate_limited'],
      [500, {}, 'internal'],
      [501, {}, 'unsupported'],
      [502, {}, 'unavailable'],
      [503, {}, 'unavailable'],
      [504, {}, 'timeout'],
      [599, {}, 'unavailable'],
    ]
    for (const [status, answer, code] of cases)
      expect(await refuse(status, answer)).toMatchObject({ code, status })
  })

  it('reads Retry-After in seconds and as a date, at most a minute', async () => {
    const cases: readonly [string, number | undefined][] = [
      ['7', 7000],
      ['0.25', 250],
      ['86400', 60_000],
      ['Thu, 01 Jan 2026 00:00:09 GMT', 9000],
      ['Thu, 01 Jan 2099 00:00:00 GMT', 60_000],
      ['Thu, 01 Jan 2015 00:00:00 GMT', 0],
      ['soon', undefined],
    ]
    for (const [value, waitMs] of cases) {
      expect((await refuse(429, {}, { 'retry-after': value })).retryAfterMs).toBe(waitMs)
    }
    const both = { 'retry-after': '1', 'retry-after-ms': '350' }
    expect((await refuse(429, {}, both)).retryAfterMs).toBe(350)
  })

  it('says what to do when the body is no JSON', async () => {
    const html = (status: number) => run(() => new Response('<html>', { status }))
    expect((await html(502)).error!.message).toBe(`${BASE}/chat/completions answered 502 without saying why.`)
    expect((await html(404)).error!.message).toContain('check baseURL')
    const moved = await run(() => new Response(null, { status: 308, headers: { location: '/v2' } }))
    expect(moved.error).toMatchObject({ code: 'bad_response', message: expect.stringContaining('redirect') })
  })

  it('gives up on an error body that stalls', async () => {
    const clock = new FakeClock()
    const stalled = run(() => new Response(body(['{'], 'stall'), { status: 500 }), { clock })
    await clock.expire(120_000)
    expect((await stalled).error).toMatchObject({ code: 'timeout' })
  })
})

describe('secrets', () => {
  it('stay out of every error, whatever the server or fetch repeats', async () => {
    const apiKey = 'sk-live-1234'
    const headers = { 'x-goog-token': 'Token abcdefgh12345' }
    const echo = `Bad key ${apiKey} and abcdefgh12345, that is Token abcdefgh12345`
    const answers: (() => Response)[] = [
      () => Response.json({ error: { message: echo } }, { status: 401 }),
      stream(data({ error: { message: echo } })),
      stream(`data: ${echo}\n\n`),
      stream(text('x'), data({ choices: [{ delta: { content: [echo] } }] })),
      () => {
        throw new TypeError(echo, { cause: new Error(echo) })
      },
    ]
    for (const answer of answers) {
      const { error } = await run(answer, { apiKey, headers, baseURL: `${BASE}?key=${apiKey}` })
      const printed: string[] = []
      for (let link: unknown = error; link instanceof Error; link = link.cause) {
        printed.push(link.message, link.stack ?? '')
      }
      expect(printed.join('\n')).not.toMatch(/sk-live-1234|abcdefgh12345/)
    }
  })
})

describe('bad options', () => {
  it('get one sentence with the name of the option', () => {
    const make = (options: object) => () => createClient({ baseURL: BASE, ...options })
    const url = 'baseURL must be an http(s) URL such as http://localhost:8787/v1.'
    for (const baseURL of [undefined, '', 'localhost:8787', '/v1', 'ftp://x', 5]) {
      expect(make({ baseURL })).toThrow(url)
    }
    expect(make({ baseURL: 'http://me:pw@x/v1' })).toThrow('baseURL must not hold a user or password')
    expect(make({ apiKey: '' })).toThrow('apiKey must be a text that is not empty')
    expect(make({ apiKey: 'a\nb' })).toThrow('apiKey holds a character that an HTTP header cannot carry.')
    expect(make({ headers: { 'bad name': 'x' } })).toThrow('headers holds a character')
    expect(make({ timeouts: { idleMs: 0 } })).toThrow('timeouts.idleMs must be a number of milliseconds')
    expect(make({ timeouts: { totalMs: Number.NaN } })).toThrow('timeouts.totalMs')
  })

  it('are caught in the request too, where JSON would hide them', async () => {
    const { client, calls } = clientOf(stream(finish()))
    await expect(collect(client.chat({ ...QUESTION, temperature: Number.NaN }))).rejects.toMatchObject({
      code: 'invalid_request',
      field: 'temperature',
      message: 'temperature must be a finite number, but is NaN.',
    })
    await expect(collect(client.chat({ ...QUESTION, maxTokens: Infinity }))).rejects.toMatchObject({
      field: 'maxTokens',
      message: 'maxTokens must be a finite number, but is Infinity.',
    })
    await expect(collect(client.chat({} as ChatRequest))).rejects.toMatchObject({ field: 'messages' })
    expect(calls).toEqual([])
  })
})

describe('collect', () => {
  it('refuses a stream that ends without a finish', async () => {
    async function* cut(): AsyncGenerator<ChatEvent> {
      yield { type: 'text', text: 'half' }
    }
    await expect(collect(cut())).rejects.toMatchObject({ code: 'stream_interrupted' })
  })
})
