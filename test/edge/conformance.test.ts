/** Every parameter that the openai package can send either works or is refused by name: the list is its own types. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { loadEngine } from '../../src/engine/node.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, COMPLETIONS, HELLO, type Json, post } from './http.ts'

/** Names of the fields of an interface in the package's declarations. */
function fieldsOf(file: string, name: string): string[] {
  const path = fileURLToPath(import.meta.resolve('openai')).replace(/index\.m?js$/, file)
  const text = readFileSync(path, 'utf8')
  const from = text.indexOf(`interface ${name} `)
  const body = text.slice(from, text.indexOf('\n}', from))
  return [...body.matchAll(/^ {4}(\w+)\??:/gm)].map(([, field]) => field!)
}

/** What a parameter is probed with, and what the backend must then be asked; or that it is refused. */
type Probe =
  | { readonly value: unknown; readonly with?: object; readonly asks: object }
  | { readonly value: unknown; readonly with?: object; readonly answers: (body: Json) => void }
  | { readonly value: unknown; readonly refused: true }

const refused = (value: unknown): Probe => ({ value, refused: true })
const unused = (value: unknown): Probe => ({ value, asks: {} })

/** The same in both endpoints. */
const SHARED: Readonly<Record<string, Probe>> = {
  model: { value: 'fake-model', answers: (body) => expect(body.model).toBe('fake-model') },
  frequency_penalty: { value: 0.5, asks: { frequencyPenalty: 0.5 } },
  logit_bias: { value: { 7: -100 }, asks: { logitBias: { 7: -100 } } },
  max_tokens: { value: 9, asks: { maxTokens: 9 } },
  n: { value: 2, answers: (body) => expect(body.choices).toHaveLength(2) },
  presence_penalty: { value: 1, asks: { presencePenalty: 1 } },
  seed: { value: 5, asks: { seed: 5 } },
  stop: { value: 'x', asks: { stop: ['x'] } },
  stream: { value: true, answers: (body) => expect(body).toContain('data: [DONE]') },
  stream_options: {
    value: { include_usage: true },
    with: { stream: true },
    answers: (body) => expect(body).toContain('"total_tokens"'),
  },
  temperature: { value: 0, asks: { temperature: 0 } },
  top_p: { value: 0.5, asks: { topP: 0.5 } },
  // A label, not a wish.
  user: unused('somebody'),
}

const CHAT_PROBES: Readonly<Record<string, Probe>> = {
  ...SHARED,
  messages: { value: HELLO.messages, asks: { messages: HELLO.messages } },
  audio: refused({ voice: 'alloy', format: 'wav' }),
  function_call: refused({ name: 'f' }),
  functions: refused([{ name: 'f' }]),
  logprobs: { value: true, asks: { logprobs: 0 } },
  max_completion_tokens: { value: 9, asks: { maxTokens: 9 } },
  metadata: refused({ a: 'b' }),
  modalities: refused(['text', 'audio']),
  moderation: refused({ model: 'omni' }),
  parallel_tool_calls: { value: false, asks: { parallelToolCalls: false } },
  prediction: refused({ type: 'content', content: 'x' }),
  prompt_cache_key: unused('key'),
  prompt_cache_options: refused({ mode: 'explicit' }),
  prompt_cache_retention: refused('24h'),
  reasoning_effort: refused('high'),
  response_format: { value: { type: 'json_object' }, asks: { responseFormat: { type: 'json_object' } } },
  safety_identifier: unused('somebody'),
  service_tier: refused('flex'),
  store: refused(true),
  tool_choice: {
    value: { type: 'function', function: { name: 'f' } },
    with: { tools: [{ type: 'function', function: { name: 'f' } }] },
    asks: { toolChoice: { name: 'f' } },
  },
  tools: {
    value: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
    asks: { tools: [{ name: 'f', parameters: { type: 'object' } }] },
  },
  top_logprobs: { value: 20, with: { logprobs: true }, asks: { logprobs: 20 } },
  verbosity: refused('low'),
  web_search_options: refused({}),
}

const COMPLETION_PROBES: Readonly<Record<string, Probe>> = {
  ...SHARED,
  prompt: { value: 'Once', asks: { prompt: 'Once' } },
  best_of: refused(2),
  echo: { value: true, answers: (body) => expect(body.choices[0].text).toBe('OnceHello!') },
  logprobs: { value: 3, asks: { logprobs: 3 } },
  suffix: refused('end'),
}

describe.each([
  {
    path: CHAT,
    fields: fieldsOf('resources/chat/completions/completions.d.ts', 'ChatCompletionCreateParamsBase'),
    probes: CHAT_PROBES,
    base: HELLO as object,
  },
  {
    path: COMPLETIONS,
    fields: fieldsOf('resources/completions.d.ts', 'CompletionCreateParamsBase'),
    probes: COMPLETION_PROBES,
    base: { prompt: 'Once' },
  },
])('parameters of $path', ({ path, fields, probes, base }) => {
  it('are all known to this test', () => {
    expect(fields.length).toBeGreaterThan(15)
    expect(Object.keys(probes).sort()).toEqual(fields.sort())
  })

  it.each(Object.entries(probes))('%s works or is refused by name', async (name, probe) => {
    const backend = new FakeBackend()
    const app = createEdge({ backends: [backend], page: false })
    const body = { ...base, ...('with' in probe ? probe.with : {}), [name]: probe.value }
    const response = await post(app, path, body)
    if ('refused' in probe) {
      expect(response.status).toBe(400)
      const { error }: Json = await response.json()
      expect(error.param).toBe(name)
      expect(error.message).toBe(`${name} is not supported by this server yet; leave it out.`)
      expect(backend.requests).toEqual([])
      return
    }
    expect(response.status).toBe(200)
    const text = await response.text()
    if ('answers' in probe) probe.answers(text.startsWith('{') ? JSON.parse(text) : text)
    else expect(backend.requests[0]).toMatchObject(probe.asks)
  })

  it('that nobody knows are refused by name', async () => {
    const response = await post(createEdge({ backends: [new FakeBackend()] }), path, {
      ...base,
      temprature: 1,
    })
    expect(((await response.json()) as Json).error.param).toBe('temprature')
  })
})

describe('the openai package on the shipped model', () => {
  let engine: Engine
  let server: Served
  let client: OpenAI
  beforeAll(async () => {
    engine = await loadEngine(MODEL_DIRECTORY, { threads: 1, contextTokens: 768 })
    server = await serve({ app: createEdge({ backends: [engine], page: false }), port: 0 })
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
  })
  afterAll(async () => {
    await server.close(0)
    await engine.close()
  })

  const model = 'facet-tldr-24m'
  const ask = {
    model,
    messages: [{ role: 'user' as const, content: 'How do I list files?' }],
    temperature: 0,
  }
  const weather = {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      strict: true,
      parameters: {
        type: 'object',
        properties: { city: { enum: ['Rome', 'Oslo'] } },
        required: ['city'],
        additionalProperties: false,
      },
    },
  }

  it('parses an answer that was asked for as a schema', async () => {
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    }
    const completion = await client.chat.completions.parse({
      ...ask,
      response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } },
    })
    expect(typeof (completion.choices[0]!.message.parsed as unknown as { ok: boolean }).ok).toBe('boolean')
  })

  it('calls a tool, sends its result and gets an answer', async () => {
    const { choices } = await client.chat.completions.create({
      ...ask,
      tools: [weather],
      tool_choice: 'required',
      parallel_tool_calls: false,
    })
    const { message, finish_reason } = choices[0]!
    expect(finish_reason).toBe('tool_calls')
    expect(message.content).toBeNull()
    const [call] = message.tool_calls!
    if (call?.type !== 'function') throw new Error('no function was called')
    expect(['Rome', 'Oslo']).toContain(JSON.parse(call.function.arguments).city)
    const messages = [
      ...ask.messages,
      message,
      { role: 'tool' as const, tool_call_id: call.id, content: '20 degrees' },
    ]
    const next = await client.chat.completions.create({
      ...ask,
      messages,
      tools: [weather],
      tool_choice: 'none',
      max_tokens: 5,
    })
    expect(next.choices[0]!.message.content).not.toBe('')
  })

  it('follows streamed tool calls with its helper', async () => {
    const stream = client.chat.completions.stream({
      ...ask,
      tools: [weather],
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
    })
    const { choices } = await stream.finalChatCompletion()
    const [call] = choices[0]!.message.tool_calls!
    if (call?.type !== 'function') throw new Error('no function was called')
    expect(call.function.name).toBe('get_weather')
    expect(JSON.parse(call.function.arguments).city).toMatch(/^(Rome|Oslo)$/)
  })

  it('reads log-probabilities of answers and echoed prompts', async () => {
    const { choices } = await client.completions.create({
      model,
      prompt: 'list files',
      echo: true,
      logprobs: 2,
      max_tokens: 3,
      temperature: 0,
    })
    const { text, logprobs } = choices[0]!
    expect(text.startsWith('list files')).toBe(true)
    expect(logprobs!.tokens!.join('')).toBe(text)
    expect(logprobs!.text_offset!.at(-1)).toBe(text.length - logprobs!.tokens!.at(-1)!.length)
    const ids = await client.completions.create({
      model,
      prompt: [2, 500, 501],
      echo: true,
      logprobs: 0,
      max_tokens: 1,
    })
    expect(ids.choices[0]!.logprobs!.token_logprobs![0]).toBeNull()
    expect(ids.choices[0]!.logprobs!.tokens).toHaveLength(4)
  })

  it('gets embeddings, which it asks for in base64', async () => {
    const { data, usage } = await client.embeddings.create({ model, input: ['list files', 'commit'] })
    expect(data.map(({ embedding }) => embedding.length)).toEqual([384, 384])
    expect(Math.hypot(...data[0]!.embedding)).toBeCloseTo(1, 5)
    expect(usage.prompt_tokens).toBeGreaterThan(3)
    const plain = await client.embeddings.create({ model, input: 'list files', encoding_format: 'float' })
    expect(plain.data[0]!.embedding[7]).toBeCloseTo(data[0]!.embedding[7]!, 6)
    await expect(client.embeddings.create({ model, input: 'x', dimensions: 3 })).rejects.toThrow(
      /dimensions is not supported/,
    )
  })

  it('is told of a schema that cannot be enforced, by the name it sent', async () => {
    const format = {
      type: 'json_schema' as const,
      json_schema: { name: 'a', schema: { properties: { maxTokens: { not: {} } } } },
    }
    const error = await client.chat.completions
      .create({ ...ask, response_format: format })
      .catch((thrown) => thrown)
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error.param).toBe('response_format.json_schema.schema.properties.maxTokens.not')
  })

  it('turns prompts into tokens and back', async () => {
    const { tokens, count } = (await client.post('/tokenize', { body: { prompt: 'ls -la' } })) as Json
    expect(tokens).toHaveLength(count)
    expect(await client.post('/detokenize', { body: { tokens } })).toMatchObject({ prompt: 'ls -la' })
  })
})
