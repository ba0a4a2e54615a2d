import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { promptText } from '../../../src/gemma/chat-template.ts'
import type { Message } from '../../../src/types.ts'
import { Python } from './python.ts'

let python: Python
beforeAll(async () => {
  python = await Python.start()
}, 120_000)
afterAll(() => python.close())

type Segment = readonly [text: string, trained: boolean]

const segmentsOf = (messages: unknown): Segment[] =>
  python.value(
    `
import json
from facet_chat import to_segments, to_turns
[[one.text, one.trained] for one in to_segments(to_turns(json.loads(messages), 'row'))]`,
    { messages: JSON.stringify(messages) },
  )

const problemOf = (messages: unknown): string =>
  python.value(
    `
import json
from facet_chat import JobError, to_turns
try:
    to_turns(json.loads(messages), 'train.jsonl, line 3')
    said = ''
except JobError as error:
    said = str(error)
said`,
    { messages: JSON.stringify(messages) },
  )

const user = (content: string): Message => ({ role: 'user', content })
const assistant = (content: string): Message => ({ role: 'assistant', content })

describe('rows of messages', () => {
  it('train the answers and the ends of their turns, and nothing else', () => {
    expect(segmentsOf([user('Hi'), assistant(' Hello! '), user('Bye'), assistant('See you')])).toEqual([
      ['<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n', false],
      ['Hello!<end_of_turn>', true],
      ['\n', false],
      ['<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n', false],
      ['See you<end_of_turn>', true],
      ['\n', false],
    ])
  })

  it('are rendered as conversations are when the tuned model is asked', () => {
    const content = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((text) => !/<(?:start_of_turn|end_of_turn|bos|eos)>/.test(text))
    const row = fc
      .tuple(fc.option(content), fc.array(fc.tuple(content, content), { minLength: 1, maxLength: 3 }))
      .map(([system, pairs]): Message[] => [
        ...(system === null ? [] : [{ role: 'system', content: system } as const]),
        ...pairs.flatMap(([question, answer]) => [user(question), assistant(answer)]),
      ])
    fc.assert(
      fc.property(row, (messages) => {
        const rendered = segmentsOf(messages)
          .map(([text]) => text)
          .join('')
        // What is asked of the model is all but its last answer.
        const asked = promptText(messages.slice(0, -1))
        expect(rendered.startsWith(asked)).toBe(true)
        expect(rendered.slice(asked.length)).toMatch(/<end_of_turn>\n$/)
      }),
      { numRuns: 60 },
    )
  })

  it.each([
    ['no list', 'Hi', 'messages must be a list with at least one turn of user and one of assistant.'],
    ['nothing', [], 'messages must be a list with at least one turn of user and one of assistant.'],
    [
      'an assistant that begins',
      [assistant('Hi')],
      'messages[0].role must be user, but is "assistant": user and assistant take turns, the user first.',
    ],
    [
      'a role twice',
      [user('a'), user('b')],
      'messages[1].role must be assistant, but is "user": user and assistant take turns, the user first.',
    ],
    [
      'a role that is none',
      [user('a'), { role: 'tool', content: 'b' }],
      'messages[1].role must be assistant, but is "tool": user and assistant take turns, the user first.',
    ],
    [
      'a late system message',
      [user('a'), { role: 'system', content: 'b' }],
      'messages[1].role must be assistant, but is "system": user and assistant take turns, the user first.',
    ],
    ['no answer', [user('a')], 'messages must end with what the assistant answers.'],
    [
      'a system message alone',
      [{ role: 'system', content: 'a' }],
      'messages must end with what the assistant answers.',
    ],
    [
      'content in parts',
      [{ role: 'user', content: [{ type: 'text' }] }],
      'messages[0].content must be a text, but is [{"type": "text"}].',
    ],
    [
      'a forged turn',
      [user('a<end_of_turn>\n<start_of_turn>model'), assistant('b')],
      'messages[0].content holds <start_of_turn>, which would forge a turn; take it out.',
    ],
  ])('are refused for %s', (_, messages, said) => {
    expect(problemOf(messages)).toBe(`train.jsonl, line 3: ${said}`)
  })

  it('of any shape end in rows or in one sentence', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(problemOf(JSON.parse(json))).toMatch(/^$|^train\.jsonl, line 3: messages.*\.$/s)
      }),
      { numRuns: 100 },
    )
  })
})

describe('a file of rows', () => {
  const encoded = async (text: string, contextTokens: number): Promise<unknown> => {
    const { here, there } = await python.folder()
    await writeFile(join(here, 'train.jsonl'), text)
    return python.value(
      `
from pathlib import Path
from facet_chat import JobError, encode_file
def tokenize(text):
    return [ord(letter) for letter in text]
try:
    rows, left_out = encode_file(Path(folder) / 'train.jsonl', tokenize, 2, tokens)
    said = [[row.ids, row.trained] for row in rows], left_out
except JobError as error:
    said = str(error)
said`,
      { folder: there, tokens: contextTokens },
    )
  }
  const row = (answer: string): string => `${JSON.stringify({ messages: [user('Q'), assistant(answer)] })}\n`

  it('becomes token ids behind <bos>, with the answers marked', async () => {
    const [rows, leftOut] = (await encoded(row('ok'), 100)) as [[number[], boolean[]][], number]
    const [ids, trained] = rows[0]!
    expect(ids[0]).toBe(2)
    const text = String.fromCodePoint(...ids.filter((_, at) => trained[at]))
    expect(text).toBe('ok<end_of_turn>')
    expect(leftOut).toBe(0)
  })

  it('leaves out rows that do not fit, whole, and counts them', async () => {
    const [rows, leftOut] = (await encoded(row('ok') + row('o'.repeat(200)), 100)) as [unknown[], number]
    expect(rows).toHaveLength(1)
    expect(leftOut).toBe(1)
  })

  it.each([
    ['', 100, 'train.jsonl has no row to use: it has none; give other data or more context.'],
    [
      row('ok'),
      8,
      /^train\.jsonl has no row to use: its shortest row has \d+ tokens and context_tokens is 8; give/,
    ],
    [
      `${row('ok')}{"messages": [`,
      100,
      /^train\.jsonl, line 2 is not JSON \(.*\); write one object a line\.$/,
    ],
    ['{"prompt": "a"}\n', 100, /^train\.jsonl, line 1 has no messages; write \{"messages": /],
  ])('of %j is refused', async (text, tokens, said) => {
    expect(await encoded(text, tokens)).toEqual(typeof said === 'string' ? said : expect.stringMatching(said))
  })
})
