/** The body of POST /v1/chat/completions: from the wire to a Call. */
import { FacetError } from '../errors.ts'
import type { Message, ResponseFormat, Tool, ToolChoice } from '../types.ts'
import {
  type Call,
  type CallFields,
  callEntries,
  LABELS,
  maxTokens,
  REFUSED,
  toCall,
  toSettings,
} from './call.ts'
import { message } from './chat-message.ts'
import { responseFormat, tool, toolChoice } from './chat-tools.ts'
import {
  about,
  boolean,
  closed,
  defined,
  integerIn,
  listOf,
  optional,
  readFields,
  type Schema,
} from './field.ts'

interface ChatFields extends CallFields {
  readonly messages: readonly Message[]
  readonly max_completion_tokens: number | undefined
  readonly logprobs: boolean | undefined
  readonly top_logprobs: number | undefined
  readonly response_format: ResponseFormat | undefined
  readonly tools: readonly Tool[] | undefined
  readonly tool_choice: ToolChoice | undefined
  readonly parallel_tool_calls: boolean | undefined
}

const MOST_MESSAGES = 10_000
const MOST_TOOLS = 128

export const chatSchema: Schema<ChatFields> = closed(
  {
    ...callEntries,
    messages: listOf(message, 'a list of messages', 1, MOST_MESSAGES),
    max_completion_tokens: about('Most tokens of the answer.', maxTokens),
    logprobs: about('Report the log-probability of each token.', optional(boolean)),
    top_logprobs: about('Report this many alternatives to each token.', optional(integerIn(0, 20))),
    response_format: about('What form the answer takes.', optional(responseFormat)),
    tools: about(
      'Functions the model may ask to have called.',
      optional(listOf(tool, 'a list of tools', 0, MOST_TOOLS)),
    ),
    tool_choice: about('Whether the model may, must or must not call.', optional(toolChoice)),
    parallel_tool_calls: about('Whether one answer may hold several calls.', optional(boolean)),
  },
  {
    ignored: LABELS,
    refused: {
      ...REFUSED,
      functions: [[]],
      function_call: ['none', 'auto'],
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
  const fields = readFields(chatSchema, json)
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
  const { tools = [], tool_choice: choice } = fields
  if (choice !== undefined && choice !== 'none' && choice !== 'auto' && tools.length === 0) {
    throw new FacetError('invalid_request', 'tool_choice needs tools; send them as well.', {
      field: 'tool_choice',
    })
  }
  const request = {
    messages: fields.messages,
    ...toSettings({ ...fields, max_tokens: most ?? legacy }),
    ...defined({
      logprobs: logprobs ? (top ?? 0) : undefined,
      responseFormat: fields.response_format?.type === 'text' ? undefined : fields.response_format,
      tools: tools.length > 0 ? tools : undefined,
      toolChoice: tools.length > 0 ? choice : undefined,
      parallelToolCalls: fields.parallel_tool_calls,
    }),
  }
  return toCall(fields, [request])
}
