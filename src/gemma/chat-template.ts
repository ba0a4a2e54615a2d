/** Gemma's chat template: a conversation as the token ids the model was tuned on. */
import { FacetError } from '../errors.ts'
import type { ChatRequest, Message, Prompt, Tool, ToolCall } from '../types.ts'
import type { GemmaConfig } from './config.ts'
import type { Tokenizer } from './tokenizer.ts'
import { toCallText, toolInstructions, toResultText } from './tool-prompt.ts'

const START_OF_TURN = '<start_of_turn>'
const END_OF_TURN = '<end_of_turn>'

/** What Python's str.strip, and so the official template's `trim`, takes off: not quite what trim() does. */
const WHITESPACE =
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'

/** One turn as the model sees it: no system, no tools, user and model alternating. */
export interface Turn {
  readonly role: 'user' | 'model'
  readonly content: string
}

/** Of a request, what is rendered. */
export type TemplateInput = Prompt & Pick<ChatRequest, 'tools' | 'toolChoice' | 'parallelToolCalls'>

/**
 * The token ids to start from.
 *
 * Messages become bos, one turn each, and an open model turn. Control tokens are set as ids, so that
 * content cannot forge them. Content is trimmed; a leading system message, for which Gemma 1 has no
 * turn, stands before the first user's content, a blank line between. So do the tools, of which Gemma
 * knows none: calls are lines of the model's turn, their results the user's turn after it. A text follows
 * bos exactly as given; ids are used as they are.
 *
 * @throws FacetError invalid_request, with the message or id at fault; invalid_model, when the
 *   tokenizer has no turn tokens
 */
export function promptIds(
  prompt: TemplateInput,
  tokenizer: Tokenizer,
  config: Pick<GemmaConfig, 'bosId'>,
): number[] {
  if (prompt.messages === undefined) {
    return typeof prompt.prompt === 'string'
      ? [config.bosId, ...tokenizer.encode(prompt.prompt)]
      : checkedIds(prompt.prompt, tokenizer.vocabSize)
  }
  const { messages, tools, toolChoice, parallelToolCalls } = prompt
  const turns = promptTurns(messages, toolInstructions(tools, toolChoice, parallelToolCalls))
  const rendered = turns.map((turn) => turnIds(turn, tokenizer))
  const start = controlId(tokenizer, START_OF_TURN)
  return [config.bosId, ...rendered.flat(), start, ...tokenizer.encode('model\n')]
}

/**
 * A whole conversation as turns, the model's answer last, as a model is tuned on it: after bos, the `turnIds` of each.
 * Whoever renders these turns by any Gemma's own template gets the same ids.
 *
 * @throws FacetError invalid_request as `promptIds` does, and where the last message is not the assistant's
 */
export function tuningTurns(messages: readonly Message[], tools?: readonly Tool[]): Turn[] {
  const turns = toTurns(messages, toolInstructions(tools), true)
  if (turns.at(-1)?.role === 'model') return turns
  throw invalid(
    `messages[${messages.length - 1}].role`,
    'must be assistant in the last message; end with the answer that the model shall learn',
  )
}

/** One finished turn: its control tokens as ids, and the newline after it. */
export function turnIds({ role, content }: Turn, tokenizer: Tokenizer): number[] {
  return [
    controlId(tokenizer, START_OF_TURN),
    ...tokenizer.encode(`${role}\n${content}`),
    controlId(tokenizer, END_OF_TURN),
    ...tokenizer.encode('\n'),
  ]
}

/**
 * The same conversation as text, for servers that take only a plain prompt and add bos themselves.
 *
 * @throws FacetError invalid_request as `promptIds` does, and where content holds a control token, which
 *   such a server could not tell from a turn's own
 */
export function promptText(messages: readonly Message[]): string {
  const rendered = promptTurns(messages, '').map(({ role, content }) => `${role}\n${content}${END_OF_TURN}\n`)
  for (const [index, { content }] of messages.entries()) {
    const token = [START_OF_TURN, END_OF_TURN].find((control) => content.includes(control))
    if (token) throw invalid(`messages[${index}].content`, `must not hold ${token} for this server`)
  }
  return [...rendered, 'model\n'].map((turn) => START_OF_TURN + turn).join('')
}

/** Ends with what the model shall answer. */
function promptTurns(messages: readonly Message[], instructions: string): Turn[] {
  const turns = toTurns(messages, instructions, false)
  if (turns.at(-1)?.role === 'user') return turns
  const last = messages.length - 1
  throw invalid(
    `messages[${last}].role`,
    `must be user in the last message, but is ${messages[last]!.role}; end with what the model shall answer`,
  )
}

/** @param mayEndWithCalls their results are not awaited where nothing follows */
function toTurns(messages: readonly Message[], instructions: string, mayEndWithCalls: boolean): Turn[] {
  if (messages.length === 0) {
    throw invalid('messages', 'must not be empty; send at least one user message')
  }
  const hasSystem = messages[0]!.role === 'system'
  const system = hasSystem ? trim(messages[0]!.content, 0) : ''
  const turns: Turn[] = []
  for (let index = hasSystem ? 1 : 0; index < messages.length; index++) {
    const message = messages[index]!
    const usersTurn = turns.length % 2 === 0
    if (message.role === 'user' && usersTurn) {
      turns.push({ role: 'user', content: trim(message.content, index) })
    } else if (message.role === 'assistant' && !usersTurn) {
      const calls = message.toolCalls ?? []
      const text = trim(message.content, index)
      const lines = [...(text === '' && calls.length > 0 ? [] : [text]), ...calls.map(toCallText)]
      turns.push({ role: 'model', content: lines.join('\n') })
      const isEnd = mayEndWithCalls && index === messages.length - 1
      if (calls.length > 0 && !isEnd) {
        const results = resultsOf(calls, messages, index + 1)
        index += calls.length
        const next = messages[index + 1]
        // What the user adds to the results belongs to the same turn.
        const more = next?.role === 'user' ? [trim(next.content, ++index)] : []
        turns.push({ role: 'user', content: [toResultText(results, calls), ...more].join('\n\n') })
      }
    } else throw outOfTurn(index, message.role, usersTurn ? 'user' : 'assistant')
  }
  const [first, ...later] = turns
  if (!first) return []
  const before = [instructions, system].filter((text) => text !== '')
  return [{ role: 'user', content: [...before, first.content].join('\n\n') }, ...later]
}

/** One result for each call, in any order, right after the calls. */
function resultsOf(
  calls: readonly ToolCall[],
  messages: readonly Message[],
  from: number,
): Extract<Message, { role: 'tool' }>[] {
  const open = new Set(calls.map(({ id }) => id))
  return calls.map((_, i) => {
    const index = from + i
    const message = messages[index]
    if (message?.role !== 'tool') {
      throw invalid(
        `messages[${Math.min(index, messages.length - 1)}]`,
        'must be followed by a tool message for each of its tool calls; send the results',
      )
    }
    if (!open.delete(message.toolCallId)) {
      throw invalid(
        `messages[${index}].toolCallId`,
        'must be the id of a tool call of the assistant message before it that has no result yet',
      )
    }
    return { ...message, content: trim(message.content, index) }
  })
}

function outOfTurn(index: number, role: unknown, expected: 'user' | 'assistant'): FacetError {
  const field = `messages[${index}].role`
  if (role === 'system') {
    return invalid(field, 'must not be system: put the one system message first')
  }
  if (role === 'tool') {
    return invalid(field, 'must not be tool: a tool message follows the assistant message that asks for it')
  }
  if (role !== 'user' && role !== 'assistant') {
    return invalid(field, `must be system, user, assistant or tool, but is ${JSON.stringify(role)}`)
  }
  return invalid(
    field,
    `must be ${expected}, but is ${role}: user and assistant take turns, the user first; join messages of one role`,
  )
}

function trim(content: unknown, index: number): string {
  if (typeof content !== 'string') throw invalid(`messages[${index}].content`, 'must be a string')
  let from = 0
  let to = content.length
  while (from < to && WHITESPACE.includes(content[from]!)) from++
  while (from < to && WHITESPACE.includes(content[to - 1]!)) to--
  return content.slice(from, to)
}

function checkedIds(ids: readonly number[], vocabSize: number): number[] {
  if (ids.length === 0) throw invalid('prompt', 'must not be empty; send at least one token id')
  const wrong = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize)
  if (wrong < 0) return [...ids]
  throw invalid(
    `prompt[${wrong}]`,
    `must be a token id from 0 to ${vocabSize - 1}, but is ${String(ids[wrong])}`,
  )
}

function controlId(tokenizer: Tokenizer, token: string): number {
  const id = tokenizer.idOf(token)
  if (id !== undefined) return id
  throw new FacetError(
    'invalid_model',
    `The tokenizer has no ${token}, so it cannot render messages; use the tokenizer of an instruction-tuned Gemma, or send a raw prompt.`,
    { field: token },
  )
}

function invalid(field: string, problem: string): FacetError {
  return new FacetError('invalid_request', `${field} ${problem}.`, { field })
}
