/** Requests and answers as Gemini's generateContent has them. */
import type { Content, GenerateContentRequest, GenerateContentResponse, Part } from '@google-cloud/vertexai'
import { FacetError } from '../errors.ts'
import type { ChatEvent, ChatRequest, FinishReason, Message, Usage } from '../types.ts'

/** Fields of a request that generateContent, as this client speaks it, has no words for. */
const REFUSED = ['minP', 'repetitionPenalty', 'logitBias', 'logprobs'] as const

const REASONS: Readonly<Record<string, FinishReason>> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  SAFETY: 'content_filter',
  RECITATION: 'content_filter',
  BLOCKLIST: 'content_filter',
  PROHIBITED_CONTENT: 'content_filter',
  SPII: 'content_filter',
}

/** @throws FacetError unsupported, with the field that Gemini's schema lacks */
export function toGemini(request: ChatRequest): GenerateContentRequest {
  for (const field of REFUSED) {
    if (request[field] === undefined) continue
    throw unsupported(`${field} cannot be used with Gemini's API; leave it out.`, field)
  }
  if (typeof request.prompt === 'object') {
    throw unsupported("Gemini's API takes text, not token ids.", 'prompt')
  }
  const messages: readonly Message[] = request.messages ?? [{ role: 'user', content: request.prompt }]
  const system = messages.filter(({ role }) => role === 'system').map(({ content }) => content)
  const { responseFormat: format, tools, toolChoice } = request
  const generationConfig: Record<string, unknown> = {
    temperature: request.temperature,
    topP: request.topP,
    topK: request.topK,
    seed: request.seed,
    maxOutputTokens: request.maxTokens,
    stopSequences: request.stop,
    presencePenalty: request.presencePenalty,
    frequencyPenalty: request.frequencyPenalty,
    responseMimeType: format && format.type !== 'text' ? 'application/json' : undefined,
    responseSchema: format?.type === 'json_schema' ? format.schema : undefined,
  }
  return {
    contents: toContents(messages),
    generationConfig,
    ...(system.length && { systemInstruction: system.join('\n\n') }),
    ...(tools?.length && {
      tools: [{ functionDeclarations: tools.map(({ strict: _, ...tool }) => tool) }],
    }),
    ...(toolChoice !== undefined && { toolConfig: { functionCallingConfig: toMode(toolChoice) } }),
    // The library's types know fewer schemas and modes than the API takes.
  } as unknown as GenerateContentRequest
}

type Choice = NonNullable<ChatRequest['toolChoice']>

function toMode(choice: Choice): { mode: string; allowedFunctionNames?: string[] } {
  if (typeof choice === 'object') return { mode: 'ANY', allowedFunctionNames: [choice.name] }
  return { mode: { none: 'NONE', auto: 'AUTO', required: 'ANY' }[choice] }
}

/** Neighbours of one role become one turn: Gemini wants the results of parallel calls together. */
function toContents(messages: readonly Message[]): Content[] {
  const contents: Content[] = []
  for (const [index, message] of messages.entries()) {
    if (message.role === 'system') continue
    const role = message.role === 'assistant' ? 'model' : 'user'
    const parts = toParts(message, messages.slice(0, index))
    const last = contents.at(-1)
    if (last?.role === role) last.parts.push(...parts)
    else contents.push({ role, parts })
  }
  return contents
}

function toParts(message: Message, before: readonly Message[]): Part[] {
  if (message.role === 'tool') {
    const calls = before.flatMap((earlier) => (earlier.role === 'assistant' ? (earlier.toolCalls ?? []) : []))
    const name = calls.find(({ id }) => id === message.toolCallId)?.name ?? message.toolCallId
    return [{ functionResponse: { name, response: { result: message.content } } }]
  }
  const calls = (message.role === 'assistant' && message.toolCalls) || []
  return [
    ...(message.content === '' && calls.length ? [] : [{ text: message.content }]),
    ...calls.map(({ name, arguments: text }) => ({ functionCall: { name, args: toObject(text) } })),
  ]
}

function toObject(text: string): object {
  try {
    const json: unknown = JSON.parse(text)
    if (typeof json === 'object' && json !== null) return json
  } catch {
    throw new FacetError('invalid_request', 'A tool call in messages has arguments that are no JSON.', {
      field: 'messages',
    })
  }
  return {}
}

/** What one piece of the answer adds. @param calls tool calls seen before it */
export function contentFrom(piece: GenerateContentResponse, calls: number): ChatEvent[] {
  const events: ChatEvent[] = []
  for (const part of piece.candidates?.[0]?.content?.parts ?? []) {
    if (typeof part.text === 'string' && part.text !== '') events.push({ type: 'text', text: part.text })
    if (!part.functionCall) continue
    const index = calls + events.filter(({ type }) => type === 'tool').length
    const { name, args } = part.functionCall
    events.push({ type: 'tool', index, id: `call_${index}`, name, arguments: JSON.stringify(args ?? {}) })
  }
  return events
}

/** @throws FacetError bad_response where the answer ended unusably */
export function reasonFrom(piece: GenerateContentResponse): FinishReason | undefined {
  if (piece.promptFeedback?.blockReason) return 'content_filter'
  const given = piece.candidates?.[0]?.finishReason
  if (given === undefined || given === 'FINISH_REASON_UNSPECIFIED') return undefined
  const reason = REASONS[given]
  if (reason) return reason
  const shown = /^[A-Z_]{1,40}$/.test(given) ? ` (${given})` : ''
  throw new FacetError('bad_response', `Gemini broke its answer off${shown}; ask again.`)
}

export function usageFrom({ usageMetadata: counts }: GenerateContentResponse): Usage | undefined {
  if (counts?.promptTokenCount === undefined) return undefined
  const { promptTokenCount, candidatesTokenCount = 0, totalTokenCount = 0, cachedContentTokenCount } = counts
  return {
    promptTokens: promptTokenCount,
    // Thoughts are billed and counted in the total alone.
    completionTokens: Math.max(candidatesTokenCount, totalTokenCount - promptTokenCount),
    ...(cachedContentTokenCount !== undefined && { cachedTokens: cachedContentTokenCount }),
  }
}

function unsupported(message: string, field: string): FacetError {
  return new FacetError('unsupported', message, { field })
}
