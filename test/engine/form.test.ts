/** Answers of the shipped model that are held to a form: JSON, schemas, calls of tools. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { loadEngine } from '../../src/engine/node.ts'
import type { FacetError } from '../../src/errors.ts'
import type { ChatEvent, ChatRequest, JsonSchema, Tool } from '../../src/types.ts'
import { MODEL_DIRECTORY } from './golden.ts'
import { anySchema, SCHEMAS } from './grammar/schemas.ts'

let engine: Engine
beforeAll(async () => {
  engine = await loadEngine(MODEL_DIRECTORY, { threads: 1, contextTokens: 512 })
})
afterAll(() => engine.close())

const ASK: ChatRequest = { messages: [{ role: 'user', content: 'How do I list files?' }], temperature: 0 }
const ajv = new Ajv2020({ strict: false, validateFormats: false })

const BAN_ALL = Object.fromEntries(Array.from({ length: 8192 }, (_, id) => [id, -100]))

const isValid = (schema: JsonSchema, text: string): boolean => ajv.compile(schema as object)(JSON.parse(text))

const answerTo = (schema: JsonSchema, more: Partial<ChatRequest> = {}) =>
  collect(
    engine.chat({
      ...ASK,
      maxTokens: 60,
      ...more,
      responseFormat: { type: 'json_schema', name: 'a', schema },
    } as ChatRequest),
  )

describe('a response format', () => {
  it('gives any JSON object', async () => {
    const request: ChatRequest = {
      ...ASK,
      responseFormat: { type: 'json_object' },
      maxTokens: 200,
      seed: 3,
      temperature: 1,
    }
    const { text, finishReason } = await collect(engine.chat(request))
    expect(text.startsWith('{')).toBe(true)
    if (finishReason === 'stop') expect(typeof JSON.parse(text)).toBe('object')
  })

  it('gives answers that validate, or says that they were cut', async () => {
    let whole = 0
    for (const [name, schema] of Object.entries(SCHEMAS)) {
      const { text, finishReason } = await answerTo(schema, { temperature: 1, seed: 5 })
      if (finishReason === 'stop') {
        expect(isValid(schema, text), `${name}: ${text}`).toBe(true)
        whole++
      } else expect(finishReason, name).toBe('length')
    }
    expect(whole).toBeGreaterThan(Object.keys(SCHEMAS).length / 2)
  })

  it('holds to schemas nobody thought of', async () => {
    const cases = fc.asyncProperty(anySchema, fc.nat(), async (schema, seed) => {
      const { text, finishReason } = await answerTo(schema, { temperature: 1.5, seed })
      if (finishReason === 'stop') expect(isValid(schema, text), text).toBe(true)
      else expect(finishReason).toBe('length')
    })
    await fc.assert(cases, { numRuns: 12 })
  })

  it('ends with the JSON, also where that takes the last token allowed', async () => {
    const schema = { enum: ['yes', 'no'] }
    const { text, finishReason, usage } = await answerTo(schema)
    expect(finishReason).toBe('stop')
    expect(isValid(schema, text)).toBe(true)
    const exact = await answerTo(schema, { maxTokens: usage.completionTokens })
    expect(exact).toMatchObject({ text, finishReason: 'stop' })
    const cut = await answerTo(schema, { maxTokens: usage.completionTokens - 1 })
    expect(cut.finishReason).toBe('length')
    expect(text.startsWith(cut.text)).toBe(true)
  })

  it('reports log-probabilities of the model itself', async () => {
    const { logprobs = [], text } = await answerTo({ const: { a: 1 } }, { logprobs: 2 })
    expect(logprobs.map((token) => token.text).join('')).toBe(text)
    expect(logprobs.every(({ logprob, top = [] }) => logprob <= 0 && top.length === 2)).toBe(true)
  })

  it('serves several schemas at once', async () => {
    const schemas = [{ type: 'boolean' }, { type: 'null' }, { enum: [1, 2] }, { const: 'x' }]
    const answers = await Promise.all(schemas.map((schema) => answerTo(schema)))
    for (const [i, schema] of schemas.entries()) expect(isValid(schema, answers[i]!.text)).toBe(true)
  })

  it.each<[string, Partial<ChatRequest>, string]>([
    ['stop strings', { stop: ['x'] }, 'stop'],
    ['tools', { tools: [{ name: 'f' }] }, 'responseFormat'],
    ['an unknown type', { responseFormat: { type: 'xml' } as never }, 'responseFormat.type'],
    [
      'a keyword that is not enforced',
      { responseFormat: { type: 'json_schema', name: 'a', schema: { not: {} } } },
      'responseFormat.schema.not',
    ],
    [
      'a ban of all it allows',
      { responseFormat: { type: 'json_schema', name: 'a', schema: { const: 7 } }, logitBias: BAN_ALL },
      'logitBias',
    ],
  ])('is refused with %s', async (_, more, field) => {
    const request = { ...ASK, responseFormat: { type: 'json_object' }, ...more } as ChatRequest
    const error = await collect(engine.chat(request)).catch((thrown: FacetError) => thrown)
    expect(error).toMatchObject({ code: 'invalid_request', field })
  })
})

const WEATHER: Tool = {
  name: 'get_weather',
  description: 'Says the weather of a city.',
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string', maxLength: 12 },
      days: { type: 'integer', minimum: 1, maximum: 7 },
    },
    required: ['city'],
  },
}
const CLOCK: Tool = { name: 'clock' }
const TOOLS = [WEATHER, CLOCK]

describe('tools', () => {
  const call = (more: Partial<ChatRequest>) =>
    collect(engine.chat({ ...ASK, tools: TOOLS, maxTokens: 200, ...more } as ChatRequest))

  it('are called with arguments that are valid, when a call is required', async () => {
    for (let seed = 0; seed < 6; seed++) {
      const {
        toolCalls = [],
        text,
        finishReason,
      } = await call({ toolChoice: 'required', temperature: 1, seed })
      expect(text).toBe('')
      expect(toolCalls.length).toBeGreaterThan(0)
      if (finishReason !== 'tool_calls') continue
      expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(toolCalls.length)
      for (const { name, arguments: json, id } of toolCalls) {
        expect(id).toMatch(/^call_\w{24}$/)
        const schema = TOOLS.find((tool) => tool.name === name)!.parameters ?? {
          type: 'object',
          maxProperties: 0,
        }
        expect(isValid(schema, json), json).toBe(true)
      }
    }
  })

  it('are called by name, once', async () => {
    const { toolCalls, finishReason } = await call({ toolChoice: { name: 'clock' } })
    expect(finishReason).toBe('tool_calls')
    expect(toolCalls).toMatchObject([{ name: 'clock', arguments: '{}' }])
    const one = await call({ toolChoice: 'required', parallelToolCalls: false, temperature: 1, seed: 1 })
    expect(one.toolCalls).toHaveLength(1)
  })

  it('are left alone by a model that answers in words', async () => {
    const { text, toolCalls, finishReason } = await call({ logitBias: {}, maxTokens: 12 })
    expect(toolCalls === undefined).toBe(text !== '')
    expect(['stop', 'length', 'tool_calls']).toContain(finishReason)
    const none = await call({ toolChoice: 'none', maxTokens: 12 })
    expect(none).toMatchObject(await collect(engine.chat({ ...ASK, maxTokens: 12 })))
  })

  it('stream the name first and the arguments in pieces', async () => {
    const events: ChatEvent[] = []
    for await (const event of engine.chat({
      ...ASK,
      tools: TOOLS,
      toolChoice: { name: 'get_weather' },
      maxTokens: 100,
    })) {
      events.push(event)
    }
    const pieces = events.filter((event) => event.type === 'tool')
    expect(pieces[0]).toMatchObject({ index: 0, name: 'get_weather', arguments: '' })
    expect(pieces.length).toBeGreaterThan(2)
    expect(pieces.slice(1).every((piece) => piece.id === undefined && piece.name === undefined)).toBe(true)
    expect(isValid(WEATHER.parameters!, pieces.map((piece) => piece.arguments).join(''))).toBe(true)
  })

  it('go on from their results', async () => {
    const messages: ChatRequest['messages'] = [
      { role: 'user', content: 'What time is it?' },
      { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'clock', arguments: '{}' }] },
      { role: 'tool', toolCallId: 'a', content: 'noon' },
    ]
    const { usage } = await collect(engine.chat({ messages, tools: TOOLS, maxTokens: 4 }))
    expect(usage.promptTokens).toBeGreaterThan(80)
  })

  it.each<[string, Partial<ChatRequest>, string]>([
    ['a bad name', { tools: [{ name: 'a b' }] }, 'tools[0].name'],
    ['a name twice', { tools: [CLOCK, CLOCK] }, 'tools[1].name'],
    ['a choice that is not there', { toolChoice: { name: 'x' } }, 'toolChoice'],
    [
      'a schema that cannot be enforced',
      { tools: [{ name: 'f', parameters: { not: {} } }] },
      'tools[0].parameters.not',
    ],
  ])('are refused with %s', async (_, more, field) => {
    const error = await call(more).catch((thrown: FacetError) => thrown)
    expect(error).toMatchObject({ code: 'invalid_request', field })
  })
})

describe('embeddings', () => {
  const dot = (a: Float32Array, b: Float32Array): number =>
    a.reduce((sum, value, i) => sum + value * b[i]!, 0)

  it('are of length 1, and near for texts that are alike', async () => {
    const texts = ['list the files of a folder', 'list files in a folder', 'commit changes with git']
    const [a, b, c] = (await engine.embed!(texts)) as [Float32Array, Float32Array, Float32Array]
    for (const vector of [a, b, c]) expect(dot(vector, vector)).toBeCloseTo(1, 5)
    expect(dot(a, b)).toBeGreaterThan(dot(a, c))
  })

  it('agree with those of the reference', async () => {
    const reference = await loadEngine(MODEL_DIRECTORY, { graph: 'reference', contextTokens: 64 })
    try {
      const [[ours], [theirs]] = await Promise.all([
        engine.embed!(['list files']),
        reference.embed!(['list files']),
      ])
      expect(dot(ours!, theirs!)).toBeGreaterThan(0.99)
    } finally {
      await reference.close()
    }
  })

  it('are the same alone and beside a chat', async () => {
    const text = 'a longer text of some words '.repeat(30)
    const alone = await engine.embed!([text])
    const [beside] = await Promise.all([
      engine.embed!([text]),
      collect(engine.chat({ ...ASK, maxTokens: 8 })),
    ])
    expect(beside).toEqual(alone)
  })

  it('are refused for what is no text', async () => {
    await expect(engine.embed!([''])).rejects.toMatchObject({ field: 'texts[0]' })
    await expect(engine.embed!(['x '.repeat(600)])).rejects.toMatchObject({ code: 'context_length_exceeded' })
  })
})

describe('tokens', () => {
  it('are told, and written back', async () => {
    const ids = await engine.tokenize!({ prompt: 'ls -la' })
    expect(ids[0]).toBe(2)
    expect(await engine.detokenize!(ids)).toBe('ls -la')
    const chat = await engine.tokenize!({ messages: [{ role: 'user', content: 'Hi' }] })
    expect(await engine.detokenize!(chat)).toBe('user\nHi\nmodel\n')
    await expect(engine.detokenize!([99_999])).rejects.toMatchObject({ field: 'tokens[0]' })
  })
})
