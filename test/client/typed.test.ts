import * as v from 'valibot'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import { structured } from '../../src/client/structured.ts'
import { type RunToolsOptions, runTools, tool } from '../../src/client/tools.ts'
import type { Backend, ChatEvent, ChatRequest, FinishReason } from '../../src/types.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'Who?' }] }
const USAGE = { promptTokens: 4, completionTokens: 2 }

type Turn = string | { readonly calls: readonly (readonly [name: string, args: string])[] }

/** A model that says these things in turn, and remembers what it was asked. */
function scripted(
  turns: readonly Turn[],
  reason: FinishReason = 'stop',
): { backend: Backend; asked: ChatRequest[] } {
  const asked: ChatRequest[] = []
  async function* chat(request: ChatRequest): AsyncGenerator<ChatEvent> {
    const turn = turns[asked.push(request) - 1]!
    yield { type: 'start', id: '1', model: 'm', backend: 'scripted' }
    if (typeof turn === 'string') yield { type: 'text', text: turn }
    else {
      for (const [index, [name, args]] of turn.calls.entries()) {
        yield { type: 'tool', index, id: `call_${asked.length}_${index}`, name, arguments: args.slice(0, 3) }
        yield { type: 'tool', index, arguments: args.slice(3) }
      }
    }
    yield { type: 'finish', reason: typeof turn === 'string' ? reason : 'tool_calls', usage: USAGE }
  }
  return { backend: { name: 'scripted', model: { id: 'm' }, chat }, asked }
}

const PERSON = z.object({ name: z.string(), age: z.number().int() })

describe('structured answers', () => {
  it('are typed by the schema, which the model is sent as JSON Schema', async () => {
    const { backend, asked } = scripted(['{"name": "Ada", "age": 36}'])
    const { value, repaired } = await structured(backend, QUESTION, { schema: PERSON, name: 'person' })
    expectTypeOf(value).toEqualTypeOf<{ name: string; age: number }>()
    expect([value, repaired]).toEqual([{ name: 'Ada', age: 36 }, 0])
    expect(asked[0]!.responseFormat).toMatchObject({
      type: 'json_schema',
      name: 'person',
      strict: true,
      schema: { type: 'object', required: ['name', 'age'], properties: { name: { type: 'string' } } },
    })
  })

  it('take a schema whose library writes no JSON Schema, with one beside it', async () => {
    const schema = v.pipe(
      v.object({ n: v.number() }),
      v.transform(({ n }) => n * 2),
    )
    const { backend } = scripted(['```json\n{"n": 4}\n```'])
    const { value } = await structured(backend, QUESTION, { schema, jsonSchema: { type: 'object' } })
    expectTypeOf(value).toEqualTypeOf<number>()
    expect(value).toBe(8)
    await expect(structured(backend, QUESTION, { schema })).rejects.toMatchObject({
      code: 'invalid_request',
      field: 'schema',
      message: 'schema of valibot does not say its JSON Schema; give it beside as jsonSchema.',
    })
  })

  it('throw what is wrong with them, and ask again only when told to', async () => {
    const wrong = scripted(['{"name": "Ada", "age": "old"}'])
    await expect(structured(wrong.backend, QUESTION, { schema: PERSON })).rejects.toMatchObject({
      code: 'bad_response',
      message: expect.stringMatching(/^The answer does not fit the schema: age: .*number.*\.$/),
    })
    expect(wrong.asked).toHaveLength(1)
    const { backend, asked } = scripted(['Sure!', '{"name": 1}', '{"name": "Ada", "age": 36}'])
    const answer = await structured(backend, QUESTION, { schema: PERSON, repairs: 2 })
    expect(answer).toMatchObject({ value: { age: 36 }, repaired: 2, usage: { promptTokens: 12 } })
    expect(asked[1]!.messages!.slice(1)).toEqual([
      { role: 'assistant', content: 'Sure!' },
      {
        role: 'user',
        content:
          'That does not fit the schema: it is not valid JSON. Answer again, with the corrected JSON alone.',
      },
    ])
  })

  it('say so when they were cut, and need messages', async () => {
    const cut = scripted(['{"name": "A'], 'length')
    await expect(structured(cut.backend, QUESTION, { schema: PERSON })).rejects.toThrow(
      'The answer does not fit the schema: it was cut at the limit of tokens.',
    )
    await expect(structured(cut.backend, { prompt: 'x' }, { schema: PERSON })).rejects.toMatchObject({
      field: 'messages',
    })
  })
})

describe('tools', () => {
  const add = tool({
    description: 'Adds.',
    parameters: z.object({ a: z.number(), b: z.number() }),
    run: ({ a, b }) => {
      expectTypeOf(a).toEqualTypeOf<number>()
      return { sum: a + b }
    },
  })
  const run = (turns: readonly Turn[], options: Partial<RunToolsOptions> = {}) => {
    const { backend, asked } = scripted(turns)
    return { asked, answer: runTools(backend, QUESTION, { tools: { add }, ...options }) }
  }

  it('are called with typed arguments until the model answers', async () => {
    const { answer, asked } = run([{ calls: [['add', '{"a": 1, "b": 2}']] }, 'It is 3.'])
    expect(await answer).toMatchObject({
      text: 'It is 3.',
      rounds: 2,
      usage: { promptTokens: 8, completionTokens: 4 },
    })
    expect(asked[0]!.tools).toEqual([
      { name: 'add', description: 'Adds.', parameters: expect.objectContaining({ type: 'object' }) },
    ])
    expect((await answer).messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: '',
        toolCalls: [{ id: 'call_1_0', name: 'add', arguments: '{"a": 1, "b": 2}' }],
      },
      { role: 'tool', toolCallId: 'call_1_0', content: '{"sum":3}' },
      { role: 'assistant', content: 'It is 3.' },
    ])
  })

  it('of one answer run at once, or one after the other where asked', async () => {
    for (const sequential of [false, true]) {
      const log: string[] = []
      const step = tool({
        parameters: z.object({ n: z.number() }),
        async run({ n }) {
          log.push(`begin ${n}`)
          await Promise.resolve()
          log.push(`end ${n}`)
          return 'ok'
        },
      })
      const calls = [['step', '{"n": 1}'] as const, ['step', '{"n": 2}'] as const]
      await run([{ calls }, 'done'], { tools: { step }, sequential }).answer
      expect(log).toEqual(
        sequential ? ['begin 1', 'end 1', 'begin 2', 'end 2'] : ['begin 1', 'begin 2', 'end 1', 'end 2'],
      )
    }
  })

  it('that do not exist, and arguments that do not fit, are told to the model', async () => {
    const calls = [
      ['add', '{"a": "x", "b": 2}'] as const,
      ['add', '{"a": 1,'] as const,
      ['sub', '{}'] as const,
    ]
    const { messages } = await run([{ calls }, 'Sorry.']).answer
    const results = messages.filter(({ role }) => role === 'tool').map(({ content }) => content)
    expect(results).toEqual([
      expect.stringMatching(/^Error: the arguments do not fit: a: .*number/),
      'Error: the arguments do not fit: it is not valid JSON.',
      'Error: there is no tool sub, only add.',
    ])
  })

  it('end the loop with what they throw, and after the rounds allowed', async () => {
    const broken = tool({
      parameters: z.object({}),
      run() {
        throw new RangeError('broken')
      },
    })
    await expect(run([{ calls: [['broken', '']] }], { tools: { broken } }).answer).rejects.toThrow(RangeError)
    const endless = Array.from({ length: 3 }, () => ({ calls: [['add', '{"a": 1, "b": 2}'] as const] }))
    await expect(run(endless, { maxRounds: 3 }).answer).rejects.toMatchObject({
      code: 'bad_response',
      message: 'The model still calls tools after 3 rounds; raise maxRounds, or ask for less.',
    })
  })

  it('are not run once the caller has aborted; and every event is heard', async () => {
    const control = new AbortController()
    const heard: string[] = []
    const { answer } = run([{ calls: [['add', '{"a": 1, "b": 2}']] }], {
      signal: control.signal,
      onEvent(event, round) {
        heard.push(`${round} ${event.type}`)
        if (event.type === 'finish') control.abort()
      },
    })
    await expect(answer).rejects.toMatchObject({ code: 'aborted' })
    expect(heard).toEqual(['1 start', '1 tool', '1 tool', '1 finish'])
  })
})
