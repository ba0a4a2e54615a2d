import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, COMPLETIONS, HELLO, type Json, post } from './http.ts'

const app = createEdge({ backends: [new FakeBackend()] })

const errorOf = async (response: Response): Promise<Json> => ((await response.json()) as Json).error

const user = (content: unknown) => ({ messages: [{ role: 'user', content }] })

/** Body, field, sentence. */
const CHAT_MISTAKES: readonly (readonly [unknown, string | null, string])[] = [
  [[], null, 'The request body must be an object, but is a list.'],
  ['"hello"', null, 'The request body must be an object, but is "hello".'],
  [
    '{"n": 1,}',
    null,
    'The request body is not valid JSON at character 8; check its quotes, commas and brackets.',
  ],
  ['', null, 'The request body is empty; send a JSON object.'],
  [{}, 'messages', 'messages is missing, but required.'],
  [{ messages: [] }, 'messages', 'messages must not be empty; give at least one entry.'],
  [{ messages: 'hi' }, 'messages', 'messages must be a list of messages, but is "hi".'],
  [{ messages: ['hi'] }, 'messages[0]', 'messages[0] must be an object, but is "hi".'],
  [{ messages: [{ role: 'user' }] }, 'messages[0].content', 'messages[0].content is missing, but required.'],
  [
    user(null),
    'messages[0].content',
    'messages[0].content must be a string or a list of text parts, but is null.',
  ],
  [user(5), 'messages[0].content', 'messages[0].content must be a string or a list of text parts, but is 5.'],
  [user([]), 'messages[0].content', 'messages[0].content must not be empty; give at least one entry.'],
  [
    user([
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'data:,' } },
    ]),
    'messages[0].content[1].type',
    'messages[0].content[1].type must be "text", since this server reads no images, audio or files, but is "image_url".',
  ],
  [
    { messages: [{ role: 'function', content: 'x', name: 'f' }] },
    'messages[0].role',
    'messages[0].role must be one of system, developer, user, assistant, tool, but is "function".',
  ],
  [
    { messages: [{ role: 'user', content: 'x', name: 'Ada' }] },
    'messages[0].name',
    'messages[0].name is not supported by this server yet; leave it out.',
  ],
  [
    { ...HELLO, temperature: 'NaN' },
    'temperature',
    'temperature must be a number from 0 to 2, but is "NaN".',
  ],
  [{ ...HELLO, temperature: 2.1 }, 'temperature', 'temperature must be a number from 0 to 2, but is 2.1.'],
  [
    '{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    'temperature',
    'temperature must be a number from 0 to 2, but is Infinity.',
  ],
  ['{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}', null, 'is not valid JSON'],
  [{ ...HELLO, top_p: 0 }, 'top_p', 'top_p must be a number above 0 and at most 1, but is 0.'],
  [{ ...HELLO, max_tokens: 0 }, 'max_tokens', 'max_tokens must be a whole number of at least 1, but is 0.'],
  [
    { ...HELLO, max_completion_tokens: -1 },
    'max_completion_tokens',
    'must be a whole number of at least 1, but is -1.',
  ],
  [
    { ...HELLO, max_tokens: 1.5 },
    'max_tokens',
    'max_tokens must be a whole number of at least 1, but is 1.5.',
  ],
  [
    { ...HELLO, max_tokens: 5, max_completion_tokens: 6 },
    'max_tokens',
    'mean the same but differ; send one of them.',
  ],
  [{ ...HELLO, n: 0 }, 'n', 'n must be a whole number from 1 to 128, but is 0.'],
  [{ ...HELLO, n: 129 }, 'n', 'n must be a whole number from 1 to 128, but is 129.'],
  [{ ...HELLO, stream: 'true' }, 'stream', 'stream must be true or false, but is "true".'],
  [{ ...HELLO, stop: ['a', ''] }, 'stop[1]', 'stop[1] must not be empty; leave it out or give a text.'],
  [{ ...HELLO, stop: 5 }, 'stop', 'stop must be a string or a list of strings, but is 5.'],
  [{ ...HELLO, seed: 0.5 }, 'seed', 'seed must be a whole number'],
  [
    { ...HELLO, logit_bias: { the: 1 } },
    'logit_bias',
    'logit_bias must be an object from token ids to numbers',
  ],
  [
    { ...HELLO, logit_bias: { 5: 101 } },
    'logit_bias.5',
    'logit_bias.5 must be a number from -100 to 100, but is 101.',
  ],
  [
    { ...HELLO, top_logprobs: 2 },
    'top_logprobs',
    'top_logprobs needs logprobs; set logprobs to true as well.',
  ],
  [
    { ...HELLO, stream_options: {} },
    'stream_options',
    'stream_options is only for streams; set stream to true as well.',
  ],
  [{ ...HELLO, model: 5 }, 'model', 'model must be a string, but is 5.'],
  [
    { ...HELLO, tools: [{ type: 'function' }] },
    'tools[0].function',
    'tools[0].function is missing, but required.',
  ],
  [{ ...HELLO, tool_choice: 'required' }, 'tool_choice', 'tool_choice needs tools; send them as well.'],
  [
    { ...HELLO, response_format: { type: 'xml' } },
    'response_format.type',
    'response_format.type must be text, json_object or json_schema, but is "xml".',
  ],
  [{ ...HELLO, modalities: ['text', 'audio'] }, 'modalities', 'modalities is not supported'],
  [{ ...HELLO, audio: { voice: 'x' } }, 'audio', 'audio is not supported'],
  [
    { ...HELLO, temprature: 1 },
    'temprature',
    'temprature is not a parameter this server knows; check its spelling or leave it out.',
  ],
  [
    '{"messages": [{"role": "user", "content": "x"}], "__proto__": {"n": 2}}',
    '__proto__',
    '__proto__ is not a parameter this server knows',
  ],
  [{ ...HELLO, constructor: 1 }, 'constructor', 'constructor is not a parameter this server knows'],
  [{ ...HELLO, 'a b\n': 1 }, '"a b\\n"', '"a b\\n" is not a parameter this server knows'],
]

const COMPLETION_MISTAKES: typeof CHAT_MISTAKES = [
  [{}, 'prompt', 'prompt is missing, but required.'],
  [
    { prompt: null },
    'prompt',
    'prompt must be a string, a list of strings, a list of token ids or a list of such lists',
  ],
  [{ prompt: 'a', logprobs: 21 }, 'logprobs', 'logprobs must be a whole number from 0 to 20, but is 21.'],
  [{ prompt: [] }, 'prompt', 'prompt must not be empty; give at least one entry.'],
  [{ prompt: [[]] }, 'prompt[0]', 'prompt[0] must not be empty; give at least one entry.'],
  [{ prompt: ['a', 1] }, 'prompt[1]', 'prompt[1] must be a string, but is 1.'],
  [{ prompt: [1, 'a'] }, 'prompt[1]', 'prompt[1] must be a token id, but is "a".'],
  [{ prompt: [[1, -2]] }, 'prompt[0][1]', 'prompt[0][1] must be a token id, but is -2.'],
  [{ prompt: ['a', 'b'], n: 65 }, 'n', 'n times the number of prompts may be at most 128, but is 130.'],
  [{ prompt: 'a', suffix: 'b' }, 'suffix', 'suffix is not supported by this server yet; leave it out.'],
  [{ prompt: 'a', best_of: 2 }, 'best_of', 'best_of is not supported by this server yet; leave it out.'],
  [{ prompt: 'a', metadata: { a: 'b' } }, 'metadata', 'metadata is not supported'],
  [{ prompt: 'a', messages: [] }, 'messages', 'messages is not a parameter this server knows'],
]

describe.each([
  { path: CHAT, mistakes: CHAT_MISTAKES },
  { path: COMPLETIONS, mistakes: COMPLETION_MISTAKES },
])('a mistake in the body of $path', ({ path, mistakes }) => {
  it.each(mistakes)('%j names %s', async (body, field, sentence) => {
    const response = await post(app, path, body)
    expect(response.status).toBe(400)
    const error = await errorOf(response)
    expect(error).toEqual({
      message: expect.stringContaining(sentence),
      type: 'invalid_request_error',
      param: field,
      code: 'invalid_request',
    })
  })
})

it('a parameter that this backend cannot serve is refused by name', async () => {
  const response = await post(app, COMPLETIONS, { prompt: [0], echo: true })
  expect(response.status).toBe(400)
  expect(await errorOf(response)).toEqual({
    message: 'fake cannot tell the text of token ids; leave out echo.',
    type: 'invalid_request_error',
    param: 'echo',
    code: 'unsupported',
  })
})

describe('the body', () => {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }

  it('may come with any content type, as curl -d sends it', async () => {
    expect((await post(app, CHAT, HELLO, { headers })).status).toBe(200)
  })

  it('must be UTF-8 and not compressed', async () => {
    const latin = await post(app, CHAT, '', { body: Uint8Array.of(0x22, 0xe4, 0x22) })
    expect((await errorOf(latin)).message).toBe(
      'The request body is not valid UTF-8; encode the JSON as UTF-8.',
    )
    const zipped = await post(app, CHAT, HELLO, { headers: { 'content-encoding': 'gzip' } })
    expect(zipped.status).toBe(415)
  })

  it('may be as large as the limit and no larger, whatever Content-Length says', async () => {
    const small = createEdge({ backends: [new FakeBackend()], limits: { bodyBytes: 1000 } })
    const sized = (sizeBytes: number) =>
      JSON.stringify(user('')).replace('""', `"${'x'.repeat(sizeBytes - JSON.stringify(user('')).length)}"`)
    const stream = (text: string): RequestInit => ({
      body: new Blob([text]).stream(),
      ...({ duplex: 'half' } as object),
    })
    expect((await post(small, CHAT, sized(1000))).status).toBe(200)
    expect((await post(small, CHAT, '', stream(sized(1000)))).status).toBe(200)
    for (const init of [
      {},
      { headers: { 'content-length': '10' } },
      { headers: { 'content-length': '1e9' } },
      { headers: { 'content-length': 'lots' } },
      stream(sized(1001)),
    ]) {
      const response = await post(small, CHAT, sized(1001), init)
      expect(response.status).toBe(413)
      expect((await errorOf(response)).message).toBe(
        'The request body is larger than the 1000 bytes this server takes; send a shorter conversation.',
      )
    }
    const ten = await post(app, CHAT, user('x'.repeat(10e6)))
    expect(ten.status).toBe(413)
    expect((await errorOf(ten)).message).toContain('1 MiB')
  })

  it('stops being read at the limit', async () => {
    let read = 0
    const endless = new ReadableStream({
      pull(controller) {
        read += 65_536
        controller.enqueue(new Uint8Array(65_536))
      },
    })
    const response = await post(app, CHAT, '', { body: endless, ...({ duplex: 'half' } as object) })
    expect(response.status).toBe(413)
    expect(read).toBeLessThan(5 * 2 ** 20)
  })

  it('may be nested deeper than a stack is high', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    for (const field of ['messages', 'tools', 'response_format', 'x', 'stop', 'logit_bias', 'metadata']) {
      const { status } = await post(
        app,
        CHAT,
        `{"messages":[{"role":"user","content":"x"}],"${field}":${deep}}`,
      )
      expect(status, field).toBe(400)
    }
  })
})

describe('any JSON', () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(null, true, 0, -1, 1e308, '', 'stop', [], [[1]], [''], {}, { type: 'text' }, { 5: 1 }),
  )
  const fields = [
    ...['model', 'n', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'stop', 'seed'],
    ...['temperature', 'top_p', 'top_k', 'min_p', 'presence_penalty', 'frequency_penalty', 'logit_bias'],
    ...['repetition_penalty', 'logprobs', 'top_logprobs', 'tools', 'tool_choice', 'response_format', 'user'],
    ...['echo', 'suffix', 'best_of', 'messages', 'prompt', '__proto__', 'toString', 'metadata'],
  ]
  const message = fc.record(
    {
      role: fc.oneof(fc.constantFrom('system', 'user', 'assistant', 'developer', 'tool'), value),
      content: fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(fc.record({ type: value, text: value })),
        value,
      ),
      name: value,
    },
    { requiredKeys: [] },
  )
  const change = fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 4 })
  const body = (base: fc.Arbitrary<object>) =>
    fc.oneof(
      fc.tuple(base, change).map(([whole, changes]) => ({ ...whole, ...changes })),
      fc.jsonValue({ maxDepth: 5 }),
    )

  it.each([
    { path: CHAT, base: fc.record({ messages: fc.oneof(fc.constant(HELLO.messages), fc.array(message)) }) },
    { path: COMPLETIONS, base: fc.record({ prompt: fc.oneof(fc.string(), fc.array(fc.nat()), value) }) },
  ])('gets an answer or an error in the shape of OpenAI from $path', async ({ path, base }) => {
    let answers = 0
    await fc.assert(
      fc.asyncProperty(body(base), async (json) => {
        const response = await post(app, path, JSON.stringify(json))
        const text = await response.text()
        if (response.status === 200) {
          answers++
          return
        }
        expect(response.status).toBeGreaterThanOrEqual(400)
        expect(response.status).toBeLessThan(500)
        const { error } = JSON.parse(text)
        expect(error).toEqual({
          message: expect.stringMatching(/^[^\n]+\.$/),
          type: 'invalid_request_error',
          param: error.param === null ? null : expect.any(String),
          code: expect.any(String),
        })
      }),
      { numRuns: 1000 },
    )
    expect(answers, 'the generator must also make bodies that are right').toBeGreaterThan(20)
  })

  it('that is no JSON at all is refused in the same shape', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        const response = await post(app, CHAT, '', { body: new Uint8Array(bytes) })
        expect(response.status).toBe(400)
        expect((await errorOf(response)).code).toBe('invalid_request')
      }),
    )
  })
})

describe('a page of another site', () => {
  it.each(['cross-site', 'same-site'])('that is %s is refused before anything is computed', async (site) => {
    const backend = new FakeBackend()
    const guarded = createEdge({ backends: [backend] })
    const response = await post(guarded, CHAT, user('Hi'), { headers: { 'sec-fetch-site': site } })
    expect(response.status).toBe(403)
    expect((await errorOf(response)).message).toContain('Pages of other sites may not use this server')
    expect(backend.requests).toEqual([])
  })

  it.each(['same-origin', 'none'])('is told from our own (%s)', async (site) => {
    const response = await post(app, CHAT, user('Hi'), { headers: { 'sec-fetch-site': site } })
    expect(response.status).toBe(200)
  })
})
