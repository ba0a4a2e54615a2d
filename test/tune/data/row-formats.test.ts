import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkedTurns } from '../../../src/tune/data/conversation.ts'
import { Rejection } from '../../../src/tune/data/rejection.ts'
import { type FormatName, ROW_FORMATS, toConversation } from '../../../src/tune/data/row-formats.ts'

const turnsOf = (row: unknown, format?: FormatName) =>
  checkedTurns(toConversation(row, format)).map(({ role, content }) => [role, content])

const ASKED = [
  ['user', 'Why?'],
  ['model', 'Because.'],
]

const node = (id: string, parent: string | null, role: string, text: unknown, more: object = {}) => ({
  [id]: {
    id,
    parent,
    children: [],
    message: { author: { role }, content: { content_type: 'text', parts: [text] }, ...more },
  },
})

describe('a row', () => {
  it.each([
    [
      'OpenAI messages',
      {
        messages: [
          { role: 'user', content: 'Why?' },
          { role: 'assistant', content: 'Because.' },
        ],
      },
    ],
    [
      'OpenAI parts',
      {
        messages: [
          { role: 'user', content: [{ type: 'text', text: 'Why?' }] },
          { role: 'assistant', content: 'Because.' },
        ],
      },
    ],
    [
      'ShareGPT',
      {
        conversations: [
          { from: 'human', value: 'Why?' },
          { from: 'gpt', value: 'Because.' },
        ],
      },
    ],
    ['Alpaca', { instruction: 'Why?', input: '', output: 'Because.' }],
    ['Dolly', { instruction: 'Why?', context: '', response: 'Because.' }],
    ['prompt and completion', { prompt: 'Why?', completion: ' Because.' }],
    ['question and answer', { question: 'Why?', answer: 'Because.' }],
    [
      'prompt and completion as messages',
      {
        prompt: [{ role: 'user', content: 'Why?' }],
        completion: [{ role: 'assistant', content: 'Because.' }],
      },
    ],
    [
      'messages of a CSV file',
      { messages: '[{"role":"user","content":"Why?"},{"role":"assistant","content":"Because."}]' },
    ],
  ])('of %s is a conversation', (_, row) => {
    expect(turnsOf(row)).toEqual(ASKED)
  })

  it('of Alpaca has its input after the instruction, and its history before', () => {
    const row = {
      instruction: 'Translate',
      input: 'Tag',
      output: 'Day',
      history: [['Why?', 'Because.']],
      system: 'Be brief.',
    }
    expect(turnsOf(row)).toEqual([
      ['user', 'Be brief.\n\nWhy?'],
      ['model', 'Because.'],
      ['user', 'Translate\n\nTag'],
      ['model', 'Day'],
    ])
  })

  it("of ChatGPT's export is the branch that was last seen, without what was hidden", () => {
    const mapping = {
      root: { id: 'root', parent: null, children: ['s'], message: null },
      ...node('s', 'root', 'system', ''),
      ...node('c', 's', 'user', 'About me', { metadata: { is_visually_hidden_from_conversation: true } }),
      ...node('u', 'c', 'user', 'Why?'),
      ...node('other', 'u', 'assistant', 'Another try.'),
      ...node('call', 'u', 'assistant', 'search("why")', { recipient: 'browser' }),
      ...node('result', 'call', 'tool', 'Found.'),
      ...node('a', 'result', 'assistant', 'Because.'),
    }
    expect(turnsOf({ title: 'x', mapping, current_node: 'a' })).toEqual(ASKED)
    expect(turnsOf({ mapping })).toEqual(ASKED)
  })

  it('folds the system message and the tools into the first turn, and results into the users', () => {
    const call = { id: '1', type: 'function', function: { name: 'now', arguments: '{}' } }
    const turns = turnsOf({
      tools: [{ type: 'function', function: { name: 'now', description: 'The time.' } }],
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'How late is it?' },
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: '1', content: '12:00' },
        { role: 'assistant', content: 'Noon.' },
      ],
    })
    expect(turns.map(([role]) => role)).toEqual(['user', 'model', 'user', 'model'])
    expect(turns[0]![1]).toMatch(/"name":"now"[\s\S]*Be brief\.\n\nHow late is it\?$/)
    expect(turns[1]![1]).toBe('{"name": "now", "parameters": {}}')
    expect(turns[2]![1]).toBe('Result of now:\n12:00')
  })

  it('may end with the call of a tool', () => {
    const call = { id: '1', function: { name: 'now', arguments: {} } }
    const messages = [
      { role: 'user', content: 'Now?' },
      { role: 'assistant', tool_calls: [call] },
    ]
    expect(turnsOf({ messages }).at(-1)).toEqual(['model', '{"name": "now", "parameters": {}}'])
  })

  const user = { role: 'user', content: 'a' }
  const assistant = { role: 'assistant', content: 'b' }
  it.each([
    ['no object', 'malformed', 'it is no object', 3],
    ['none of the fields', 'malformed', 'it has none of: messages; conversations;', { text: 'x' }],
    ['messages that are none', 'malformed', 'messages is no list', { messages: 'x' }],
    [
      'an unknown role',
      'role',
      'message 1 has the role "narrator", but must be',
      { messages: [{ role: 'narrator', content: 'a' }] },
    ],
    ['no role', 'role', 'message 1 has no role', { messages: [{ content: 'a' }] }],
    [
      'two users in a row',
      'turns',
      'messages 1 and 2 are both of the user',
      { messages: [user, user, assistant] },
    ],
    [
      'two answers in a row',
      'turns',
      'messages 2 and 3 are both of the assistant',
      { messages: [user, assistant, assistant] },
    ],
    [
      'an answer first',
      'turns',
      'message 1 is of the assistant, before any user',
      { messages: [assistant, user] },
    ],
    [
      'a late system message',
      'turns',
      'message 2 is of the system',
      { messages: [user, { role: 'system', content: 'c' }] },
    ],
    ['an empty turn', 'empty', 'message 1, of the user, is empty', { prompt: ' \n', completion: 'b' }],
    ['no messages', 'empty', 'there are no messages', { messages: [] }],
    ['no text', 'empty', 'the content of message 1 is missing', { messages: [{ role: 'user' }, assistant] }],
    [
      'a missing answer',
      'no-answer',
      'the last message is of the user',
      { messages: [user, assistant, user] },
    ],
    [
      'a picture',
      'not-text',
      'message 1 holds image_url',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
    ],
    ['a circle', 'malformed', 'mapping goes round', { mapping: { a: { parent: 'a' } }, current_node: 'a' }],
  ])('with %s is left out: %s', (_, reason, detail, row) => {
    const rejection = rejectionOf(row)
    expect(rejection?.reason).toBe(reason)
    expect(rejection?.message).toContain(detail)
  })

  it('is read as it is said to be', () => {
    const row = { conversations: [], prompt: 'Why?', completion: 'Because.' }
    expect(turnsOf(row, 'prompt')).toEqual(ASKED)
    expect(rejectionOf(row, 'alpaca')?.message).toBe(
      'it has no instruction and output, as rows of alpaca have',
    )
  })

  it('of any shape is a conversation whose turns alternate, or left out', () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('user', 'assistant', 'system', 'tool', 'human', 'gpt'))
    const message = fc.record(
      {
        role: text,
        from: text,
        content: fc.oneof(text, fc.jsonValue()),
        value: text,
        tool_calls: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const names = [
      'messages',
      'conversations',
      'mapping',
      'instruction',
      'output',
      'prompt',
      'completion',
      'input',
      'history',
    ]
    const value = fc.oneof(fc.jsonValue(), fc.array(message), text)
    const row = fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...names), value))
    const format = fc.option(fc.constantFrom(...(Object.keys(ROW_FORMATS) as FormatName[])), {
      nil: undefined,
    })
    fc.assert(
      fc.property(row, format, (any, name) => {
        try {
          const roles = turnsOf(any, name).map(([role]) => role)
          expect(roles).toEqual(roles.map((_, at) => (at % 2 === 0 ? 'user' : 'model')))
        } catch (error) {
          if (!(error instanceof Rejection)) throw error
        }
      }),
      { numRuns: 1000 },
    )
  })
})

function rejectionOf(row: unknown, format?: FormatName): Rejection | undefined {
  try {
    turnsOf(row, format)
    return undefined
  } catch (error) {
    return error as Rejection
  }
}
