/** Requests as OpenAI's API writes them. */
import { FacetError } from '../errors.ts'
import type { ChatRequest, Message, ResponseFormat, ToolChoice } from '../types.ts'
import type { Json } from './wire.ts'

/** Numbers are sent under OpenAI's names, and under vLLM's where OpenAI has none. */
const NUMBERS = {
  temperature: 'temperature',
  topK: 'top_k',
  topP: 'top_p',
  minP: 'min_p',
  seed: 'seed',
  repetitionPenalty: 'repetition_penalty',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  maxTokens: 'max_tokens',
} as const satisfies Partial<Record<keyof ChatRequest, string>>

/**
 * The path below the base URL and the body of one streamed request.
 *
 * @throws FacetError invalid_request where JSON would turn a number into null
 */
export function toWire(request: ChatRequest, model: string | undefined): { path: string; body: Json } {
  const chat = request.messages !== undefined
  if (!chat && request.prompt === undefined) {
    throw new FacetError('invalid_request', 'messages is missing; send messages or a prompt.', {
      field: 'messages',
    })
  }
  const numbers: Record<string, number> = {}
  for (const [field, name] of Object.entries(NUMBERS) as [keyof typeof NUMBERS, string][]) {
    const value = request[field]
    if (value === undefined) continue
    if (!Number.isFinite(value)) {
      throw new FacetError('invalid_request', `${field} must be a finite number, but is ${value}.`, { field })
    }
    numbers[name] = value
  }
  const { logprobs, responseFormat, tools, toolChoice, parallelToolCalls } = request
  const body = {
    ...(model !== undefined && { model }),
    ...(chat ? { messages: request.messages.map(toWireMessage) } : { prompt: request.prompt }),
    ...numbers,
    ...(request.logitBias && { logit_bias: request.logitBias }),
    ...(request.stop && { stop: request.stop }),
    ...(logprobs !== undefined && (chat ? { logprobs: true, top_logprobs: logprobs } : { logprobs })),
    ...(responseFormat && { response_format: toWireFormat(responseFormat) }),
    ...(tools?.length && { tools: tools.map((tool) => ({ type: 'function', function: tool })) }),
    ...(toolChoice !== undefined && { tool_choice: toWireChoice(toolChoice) }),
    ...(parallelToolCalls !== undefined && { parallel_tool_calls: parallelToolCalls }),
    stream: true,
    stream_options: { include_usage: true },
  }
  return { path: chat ? '/chat/completions' : '/completions', body }
}

function toWireMessage(message: Message): Json {
  if (message.role === 'tool') {
    return { role: 'tool', tool_call_id: message.toolCallId, content: message.content }
  }
  if (message.role !== 'assistant' || !message.toolCalls?.length) {
    return { role: message.role, content: message.content }
  }
  return {
    role: 'assistant',
    content: message.content === '' ? null : message.content,
    tool_calls: message.toolCalls.map(({ id, name, arguments: text }) => ({
      id,
      type: 'function',
      function: { name, arguments: text },
    })),
  }
}

function toWireFormat(format: ResponseFormat): Json {
  if (format.type !== 'json_schema') return format
  const { type, ...schema } = format
  return { type, json_schema: schema }
}

function toWireChoice(choice: ToolChoice): unknown {
  return typeof choice === 'string' ? choice : { type: 'function', function: { name: choice.name } }
}
