/** The body of POST /v1/chat/completions: from the wire to a Call. */
import { FacetError } from '../errors.ts'
import type { Message } from '../types.ts'
import { type Call, type CallFields, callEntries, IGNORED, maxTokens, toCall, toSettings } from './call.ts'
import {
  boolean,
  choose,
  closed,
  defined,
  integerIn,
  isObject,
  listOf,
  mapped,
  oneOf,
  optional,
  readFields,
  type Schema,
  text,
} from './field.ts'

interface ChatFields extends CallFields {
  readonly messages: readonly Message[]
  readonly max_completion_tokens: number | undefined
  readonly logprobs: boolean | undefined
  readonly top_logprobs: number | undefined
}

const MOST_MESSAGES = 10_000
const MOST_PARTS = 1_000
const ROLES = ['system', 'developer', 'user', 'assistant'] as const

/** With a wrong type or role the other keys do not matter: the error should name what decides. */
const keysUnless = (input: unknown, fine: boolean): string[] =>
  fine || !isObject(input) ? [] : Object.keys(input)

const part: Schema<string> = choose((input) =>
  mapped(
    closed(
      { type: oneOf(['text'], '"text", since this server reads no images, audio or files'), text },
      { ignored: keysUnless(input, isObject(input) && input.type === 'text') },
    ),
    (fields) => fields.text,
  ),
)

/** Parts are joined as they are: what stands between them is the caller's. */
const content: Schema<string> = choose((input) =>
  Array.isArray(input)
    ? mapped(listOf(part, 'a list of text parts', 1, MOST_PARTS), (parts) => parts.join(''))
    : typeof input === 'string'
      ? text
      : mapped(listOf(part, 'a string or a list of text parts', 1, MOST_PARTS), () => ''),
)

/** What an answer of OpenAI carries besides its content is let pass while it is empty. */
const refusedInMessage = {
  name: [],
  refusal: [],
  audio: [],
  annotations: [[]],
  tool_calls: [[]],
  function_call: [],
  reasoning_content: [''],
}

const message: Schema<Message> = choose((input) =>
  mapped(
    closed(
      { role: oneOf(ROLES), content },
      {
        ignored: keysUnless(input, isObject(input) && ROLES.some((role) => role === input.role)),
        refused: refusedInMessage,
      },
    ),
    ({ role, content }) => ({ role: role === 'developer' ? 'system' : role, content }),
  ),
)

const schema: Schema<ChatFields> = closed(
  {
    ...callEntries,
    messages: listOf(message, 'a list of messages', 1, MOST_MESSAGES),
    max_completion_tokens: maxTokens,
    logprobs: optional(boolean),
    top_logprobs: optional(integerIn(0, 20)),
  },
  {
    // Without tools there is nothing to call in parallel.
    ignored: [...IGNORED, 'parallel_tool_calls'],
    refused: {
      tools: [[]],
      tool_choice: ['none', 'auto'],
      functions: [[]],
      function_call: ['none', 'auto'],
      response_format: [{ type: 'text' }],
      modalities: [['text']],
      reasoning_effort: ['none'],
      verbosity: ['medium'],
      audio: [],
      prediction: [],
      web_search_options: [],
      moderation: [],
    },
  },
)

/** @throws FacetError invalid_request with the first field at fault */
export function toChatCall(json: unknown): Call {
  const fields = readFields(schema, json)
  const { max_completion_tokens: most, max_tokens: legacy, logprobs, top_logprobs: top } = fields
  if (most !== undefined && legacy !== undefined && most !== legacy) {
    throw new FacetError(
      'invalid_request',
      `max_tokens (${legacy}) and max_completion_tokens (${most}) mean the same but differ; send one of them.`,
      { field: 'max_tokens' },
    )
  }
  if (top !== undefined && !logprobs) {
    throw new FacetError('invalid_request', 'top_logprobs needs logprobs; set logprobs to true as well.', {
      field: 'top_logprobs',
    })
  }
  const request = {
    messages: fields.messages,
    ...toSettings({ ...fields, max_tokens: most ?? legacy }),
    ...defined({ logprobs: logprobs ? (top ?? 0) : undefined }),
  }
  return toCall(fields, [request])
}
