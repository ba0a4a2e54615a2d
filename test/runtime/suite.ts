/** What Facet does alike on every runtime, asked over its API. */
import { expect, it } from 'vitest'
import { goldenPrompts } from '../engine/golden.ts'
import type { Transport } from './ask.ts'
import { ENGINE } from './engine-options.ts'

const MODEL = 'facet-tldr-24m'
export const CHAT = '/v1/chat/completions'
const QUESTION = { messages: [{ role: 'user', content: 'How do I find files by name?' }], temperature: 0 }
const ANSWER = "`find . -name '*.txt'`"

/** The control tokens that end an answer are forbidden: it goes on until the context is full. */
export const ENDLESS: object = { ...QUESTION, stream: true, logit_bias: { 1: -100, 107: -100 } }

interface Whole {
  readonly choices: readonly { readonly message: { readonly content: string } }[]
}
interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string } }[]
}

const contentOf = (json: string): string => (JSON.parse(json) as Whole).choices[0]!.message.content

/** Declares the tests; the transport is asked for when they run. */
export function behavesAlike(transport: () => Transport): void {
  it('names its model', async () => {
    const { status, text } = await transport()({ path: '/v1/models' })
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject({ data: [{ id: MODEL }] })
  })

  it('answers the golden prompts as transformers does', { timeout: 180_000 }, async () => {
    let equal = 0
    for (const { prompt, greedy_text_int4 } of goldenPrompts) {
      const body = { model: MODEL, messages: [{ role: 'user', content: prompt }], temperature: 0 }
      const { text } = await transport()({ path: CHAT, body })
      if (`${contentOf(text)}<end_of_turn>` === greedy_text_int4) equal++
    }
    expect(equal).toBeGreaterThanOrEqual(14)
  })

  it('streams an answer piece by piece', async () => {
    const { status, type, text, pieces } = await transport()({
      path: CHAT,
      body: { ...QUESTION, stream: true },
    })
    expect(status).toBe(200)
    expect(type).toContain('text/event-stream')
    const frames = text
      .trim()
      .split('\n\n')
      .map((frame) => frame.replace(/^data: /, ''))
    expect(frames.at(-1)).toBe('[DONE]')
    const chunks = frames.slice(0, -1).map((frame) => JSON.parse(frame) as Chunk)
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(ANSWER)
    expect(pieces).toBeGreaterThan(1)
  })

  it('answers requests that come together', async () => {
    const told = await Promise.all([1, 2, 3].map(() => transport()({ path: CHAT, body: QUESTION })))
    expect(told.map(({ text }) => contentOf(text))).toEqual([ANSWER, ANSWER, ANSWER])
  })

  it('frees the place of a client that hangs up, once for each', async () => {
    for (let client = 0; client <= ENGINE.slots + ENGINE.queue; client++) {
      const { status, pieces } = await transport()({ path: CHAT, body: ENDLESS, hangUp: true })
      expect({ status, pieces }).toEqual({ status: 200, pieces: 1 })
    }
    const { status, text } = await transport()({ path: CHAT, body: QUESTION })
    expect(status).toBe(200)
    expect(contentOf(text)).toBe(ANSWER)
  })

  it('answers in the JSON that a schema asks for', async () => {
    const properties = { command: { type: 'string', maxLength: 40 } }
    const schema = { type: 'object', properties, required: ['command'], additionalProperties: false }
    const format = { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } }
    const { status, text } = await transport()({ path: CHAT, body: { ...QUESTION, response_format: format } })
    expect(status, text).toBe(200)
    expect(JSON.parse(contentOf(text))).toEqual({ command: expect.any(String) })
  })

  it('says which field is wrong', async () => {
    const { status, text } = await transport()({ path: CHAT, body: { ...QUESTION, temperature: 'hot' } })
    expect(status).toBe(400)
    expect(JSON.parse(text)).toMatchObject({ error: { param: 'temperature', code: 'invalid_request' } })
  })

  it('knows no other path', async () => {
    expect(await transport()({ path: '/v1/nothing' })).toMatchObject({ status: 404 })
  })
}
