/** The messages of POST /v1/chat/completions. */
import type { Message, ToolCall } from '../types.ts'
import {
  choose,
  closed,
  isObject,
  listOf,
  mapped,
  nonEmptyText,
  oneOf,
  optional,
  type Schema,
  text,
} from './field.ts'

const MOST_PARTS = 1_000
const MOST_CALLS = 128
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const

const textType = oneOf(['text'], '"text", since this server reads no images, audio or files')
const textPart = closed({ type: textType, text })

/** With a wrong type or role the other keys do not matter: the error should name what decides. */
const anyKeys = (input: unknown): string[] => (isObject(input) ? Object.keys(input) : [])

const part: Schema<string> = mapped(
  choose([textPart], (input) =>
    isObject(input) && input.type === 'text'
      ? textPart
      : closed({ type: textType, text }, { ignored: anyKeys(input) }),
  ),
  (fields) => fields.text,
)

/** Parts are joined as they are: what stands between them is the caller's. */
const parts = mapped(listOf(part, 'a string or a list of text parts', 1, MOST_PARTS), (texts) =>
  texts.join(''),
)

const content: Schema<string> = choose([text, parts], (input) => (typeof input === 'string' ? text : parts))

/** What an answer of OpenAI carries besides its content is let pass while it is empty. */
const refusedInMessage = {
  name: [],
  refusal: [],
  audio: [],
  annotations: [[]],
  function_call: [],
  reasoning_content: [''],
}

const toolCall: Schema<ToolCall> = mapped(
  closed(
    {
      id: nonEmptyText,
      type: oneOf(['function']),
      function: closed({ name: nonEmptyText, arguments: text }),
    },
    // Streamed deltas carry it, and clients send back what they have put together.
    { ignored: ['index'] },
  ),
  (call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments }),
)

const speaker: Schema<Message> = mapped(
  closed(
    { role: oneOf(['system', 'developer', 'user']), content },
    { refused: { ...refusedInMessage, tool_calls: [[]] } },
  ),
  ({ role, content }) => ({ role: role === 'developer' ? 'system' : role, content }),
)

const answer: Schema<Message> = mapped(
  closed({ role: oneOf(['assistant']), content }, { refused: { ...refusedInMessage, tool_calls: [[]] } }),
  ({ content }) => ({ role: 'assistant', content }),
)

const caller: Schema<Message> = mapped(
  closed(
    {
      role: oneOf(['assistant']),
      content: optional(content),
      tool_calls: listOf(toolCall, 'a list of tool calls', 1, MOST_CALLS),
    },
    { refused: refusedInMessage },
  ),
  ({ content = '', tool_calls: toolCalls }) => ({ role: 'assistant', content, toolCalls }),
)

const result: Schema<Message> = mapped(
  closed({ role: oneOf(['tool']), tool_call_id: nonEmptyText, content }, { refused: refusedInMessage }),
  ({ tool_call_id: toolCallId, content }) => ({ role: 'tool', toolCallId, content }),
)

export const message: Schema<Message> = choose([speaker, answer, caller, result], (input) => {
  const { role, tool_calls: calls } = isObject(input) ? input : {}
  if (role === 'tool') return result
  if (role === 'assistant') return Array.isArray(calls) && calls.length > 0 ? caller : answer
  if (ROLES.some((known) => known === role)) return speaker
  return mapped(closed({ role: oneOf(ROLES), content }, { ignored: anyKeys(input) }), neverRole)
})

/** Not reached: the role was none of the known. */
function neverRole(): Message {
  return { role: 'user', content: '' }
}
