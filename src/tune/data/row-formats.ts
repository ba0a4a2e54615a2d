/** How data sets write conversations: OpenAI, ShareGPT, Alpaca, prompt and completion, and ChatGPT's export. */
import { isObject } from '../../check.ts'
import type { Message, Tool, ToolCall } from '../../types.ts'
import { toChatGptMessages } from './chatgpt-export.ts'
import type { Conversation } from './conversation.ts'
import { Rejection } from './rejection.ts'

type Fields = Readonly<Record<string, unknown>>

interface RowFormat {
  /** What a row of it has. */
  readonly has: (row: Fields) => boolean
  /** For messages to people. */
  readonly fields: string
  /** @throws Rejection */
  readonly read: (row: Fields) => Conversation
}

export type FormatName = 'openai' | 'sharegpt' | 'alpaca' | 'prompt' | 'chatgpt'

/** In the order in which they are looked for. */
export const ROW_FORMATS: Readonly<Record<FormatName, RowFormat>> = {
  openai: { has: ({ messages }) => messages != null, fields: 'messages', read: fromOpenAi },
  sharegpt: {
    has: ({ conversations }) => conversations != null,
    fields: 'conversations',
    read: fromShareGpt,
  },
  chatgpt: { has: ({ mapping }) => mapping != null, fields: 'mapping', read: fromChatGpt },
  alpaca: {
    has: (row) => row.instruction != null && named(row, ANSWERS) !== undefined,
    fields: 'instruction and output',
    read: fromAlpaca,
  },
  prompt: {
    has: (row) => named(row, QUESTIONS) !== undefined && named(row, ANSWERS) !== undefined,
    fields: 'prompt and completion',
    read: fromPrompt,
  },
}

/** Names that data sets have for the same. */
const QUESTIONS = ['prompt', 'question', 'query', 'input'] as const
const ANSWERS = ['completion', 'output', 'response', 'answer'] as const
const INPUTS = ['input', 'context'] as const

/**
 * A row as a conversation.
 *
 * @param format left out: found by the row's own fields
 * @throws Rejection malformed, role, not-text
 */
export function toConversation(row: unknown, format?: FormatName): Conversation {
  if (!isObject(row)) throw new Rejection('malformed', 'it is no object')
  if (format !== undefined) {
    const { has, fields, read } = ROW_FORMATS[format]
    if (has(row)) return read(row)
    throw new Rejection('malformed', `it has no ${fields}, as rows of ${format} have`)
  }
  const found = Object.values(ROW_FORMATS).find(({ has }) => has(row))
  if (found) return found.read(row)
  const known = Object.values(ROW_FORMATS).map(({ fields }) => fields)
  throw new Rejection('malformed', `it has none of: ${known.join('; ')}`)
}

/** Who speaks, under the names that data sets use. */
const ROLES: Readonly<Record<string, Message['role']>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  chatgpt: 'assistant',
  model: 'assistant',
  bot: 'assistant',
  tool: 'tool',
  function: 'tool',
}

function fromOpenAi(row: Fields): Conversation {
  const tools = list(row, 'tools').map(toTool)
  return { messages: listed(row.messages, 'messages').map(toMessage), ...(tools.length > 0 && { tools }) }
}

function fromShareGpt(row: Fields): Conversation {
  const messages = listed(row.conversations, 'conversations').map(toMessage)
  return { messages: [...systemOf(row), ...messages] }
}

function fromChatGpt(row: Fields): Conversation {
  return { messages: toChatGptMessages(row) }
}

function fromAlpaca(row: Fields): Conversation {
  const input = named(row, INPUTS)
  const asked = [
    text(row.instruction, 'instruction'),
    ...(input === undefined ? [] : [text(row[input], input)]),
  ]
  const answer = named(row, ANSWERS)!
  const before = list(row, 'history').flatMap((turn): Message[] => {
    if (!Array.isArray(turn) || turn.length !== 2) {
      throw new Rejection('malformed', 'history is no list of pairs of question and answer')
    }
    return [
      { role: 'user', content: text(turn[0], 'history') },
      { role: 'assistant', content: text(turn[1], 'history') },
    ]
  })
  return {
    messages: [
      ...systemOf(row),
      ...before,
      { role: 'user', content: asked.filter((part) => part.trim() !== '').join('\n\n') },
      { role: 'assistant', content: text(row[answer], answer) },
    ],
  }
}

/** Texts, or lists of messages on either side. */
function fromPrompt(row: Fields): Conversation {
  const sideOf = (field: string, role: 'user' | 'assistant'): Message[] => {
    const value = unpacked(row[field])
    return Array.isArray(value) ? value.map(toMessage) : [{ role, content: text(value, field) }]
  }
  const asked = sideOf(named(row, QUESTIONS)!, 'user')
  return { messages: [...systemOf(row), ...asked, ...sideOf(named(row, ANSWERS)!, 'assistant')] }
}

function systemOf(row: Fields): Message[] {
  const field = ['system', 'system_prompt'].find((name) => typeof row[name] === 'string')
  const content = field === undefined ? '' : String(row[field])
  return content.trim() === '' ? [] : [{ role: 'system', content }]
}

/** A message in the words of OpenAI (role, content) or of ShareGPT (from, value). */
function toMessage(value: unknown, index: number): Message {
  const place = `message ${index + 1}`
  if (!isObject(value)) throw new Rejection('malformed', `${place} is no object`)
  const role = toRole(value.role ?? value.from, place)
  const said = value.content ?? value.value
  if (role === 'tool') {
    return { role, content: contentOf(said, place), toolCallId: String(value.tool_call_id ?? '') }
  }
  if (role !== 'assistant') return { role, content: contentOf(said, place) }
  const toolCalls = list(value, 'tool_calls').map((call) => toCall(call, place))
  if (toolCalls.length === 0) return { role, content: contentOf(said, place) }
  return { role, content: said == null ? '' : contentOf(said, place), toolCalls }
}

function toRole(value: unknown, place: string): Message['role'] {
  const role = typeof value === 'string' && Object.hasOwn(ROLES, value) ? ROLES[value] : undefined
  if (role) return role
  const what = value === undefined ? 'has no role' : `has the role ${JSON.stringify(value)?.slice(0, 40)}`
  throw new Rejection('role', `${place} ${what}, but must be of system, user, assistant or tool`)
}

/** A text, or parts of which all are text. */
function contentOf(value: unknown, place: string): string {
  if (!Array.isArray(value)) return text(value, `the content of ${place}`)
  return value
    .map((part) => {
      if (typeof part === 'string') return part
      if (isObject(part) && typeof part.text === 'string') return part.text
      const kind = isObject(part) && typeof part.type === 'string' ? part.type : 'something else'
      throw new Rejection('not-text', `${place} holds ${kind}`)
    })
    .join('\n')
}

function toCall(value: unknown, place: string): ToolCall {
  const called = isObject(value) ? value.function : undefined
  if (isObject(value) && isObject(called) && typeof called.name === 'string') {
    const given = called.arguments ?? '{}'
    const text = typeof given === 'string' ? given : JSON.stringify(given)
    return { id: String(value.id ?? ''), name: called.name, arguments: text }
  }
  throw new Rejection('malformed', `a tool call of ${place} names no function`)
}

function toTool(value: unknown): Tool {
  const offered = isObject(value) ? (value.function ?? value) : undefined
  if (!isObject(offered) || typeof offered.name !== 'string') {
    throw new Rejection('malformed', 'one of tools names no function')
  }
  const { name, description, parameters } = offered
  return {
    name,
    ...(typeof description === 'string' && { description }),
    ...(isObject(parameters) && { parameters }),
  }
}

function text(value: unknown, field: string): string {
  if (typeof value === 'string') return value
  if (value == null) throw new Rejection('empty', `${field} is missing`)
  throw new Rejection('malformed', `${field} is no text`)
}

/** A list, which a CSV file holds as JSON. */
function listed(value: unknown, field: string): readonly unknown[] {
  const found = unpacked(value)
  if (Array.isArray(found)) return found
  throw new Rejection('malformed', `${field} is no list`)
}

/** Empty where the field is missing. */
function list(row: Fields, field: string): readonly unknown[] {
  return row[field] == null || row[field] === '' ? [] : listed(row[field], field)
}

function unpacked(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*\[\s*\{/.test(value)) return value
  try {
    return JSON.parse(value) as unknown
  } catch {
    return value // a text that happens to begin like a list
  }
}

function named<Name extends string>(row: Fields, names: readonly Name[]): Name | undefined {
  return names.find((name) => row[name] != null)
}
