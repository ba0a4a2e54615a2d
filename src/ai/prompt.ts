/** What the AI SDK asks, as a ChatRequest. */
import type { LanguageModelV4CallOptions, LanguageModelV4Prompt, SharedV4Warning } from '@ai-sdk/provider'
import { FacetError } from '../errors.ts'
import type { ChatRequest, Message, ResponseFormat, Tool, ToolCall, ToolChoice } from '../types.ts'

/** Under `providerOptions.facet`: what the AI SDK has no words for. */
const OWN = ['minP', 'repetitionPenalty', 'logitBias'] as const

type Part = Exclude<LanguageModelV4Prompt[number], { role: 'system' }>['content'][number]

/** @throws FacetError unsupported: a part of the prompt that no backend reads */
export function toRequest(options: LanguageModelV4CallOptions): {
  request: ChatRequest
  warnings: SharedV4Warning[]
} {
  const warnings: SharedV4Warning[] = []
  const { responseFormat, tools = [], toolChoice, reasoning } = options
  if (reasoning !== undefined && reasoning !== 'none' && reasoning !== 'provider-default') {
    warnings.push({ type: 'unsupported', feature: 'reasoning' })
  }
  const functions = tools.flatMap((tool): Tool[] => {
    if (tool.type !== 'function') {
      warnings.push({ type: 'unsupported', feature: `tool ${tool.name}` })
      return []
    }
    const { name, description, inputSchema, strict } = tool
    return [
      {
        name,
        parameters: inputSchema as Exclude<Tool['parameters'], undefined>,
        ...(description !== undefined && { description }),
        ...(strict !== undefined && { strict }),
      },
    ]
  })
  const own = options.providerOptions?.facet ?? {}
  const fields = {
    temperature: options.temperature,
    topP: options.topP,
    topK: options.topK,
    seed: options.seed,
    maxTokens: options.maxOutputTokens,
    stop: options.stopSequences?.length ? options.stopSequences : undefined,
    presencePenalty: options.presencePenalty,
    frequencyPenalty: options.frequencyPenalty,
    responseFormat: responseFormat?.type === 'json' ? toFormat(responseFormat) : undefined,
    tools: functions.length ? functions : undefined,
    toolChoice: functions.length && toolChoice ? toChoice(toolChoice) : undefined,
    ...Object.fromEntries(OWN.map((name) => [name, own[name]])),
  }
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  const messages = options.prompt.flatMap((message, index) => toMessages(message, index))
  return { request: { messages, ...Object.fromEntries(given) }, warnings }
}

function toFormat({
  schema,
  name,
  description,
}: Extract<NonNullable<LanguageModelV4CallOptions['responseFormat']>, { type: 'json' }>): ResponseFormat {
  if (!schema) return { type: 'json_object' }
  const described = description === undefined ? {} : { description }
  return {
    type: 'json_schema',
    name: name ?? 'answer',
    schema: schema as { [keyword: string]: unknown },
    ...described,
  }
}

function toChoice(choice: NonNullable<LanguageModelV4CallOptions['toolChoice']>): ToolChoice {
  return choice.type === 'tool' ? { name: choice.toolName } : choice.type
}

function toMessages(message: LanguageModelV4Prompt[number], index: number): Message[] {
  const { role, content } = message
  if (role === 'system') return [{ role, content }]
  if (role === 'user') return [{ role, content: textOf(content, index) }]
  if (role === 'tool') {
    return content.flatMap((part) => {
      if (part.type !== 'tool-result') throw unread(part, index)
      return [{ role, toolCallId: part.toolCallId, content: resultOf(part.output, index) }]
    })
  }
  const calls = content.flatMap((part): ToolCall[] =>
    part.type === 'tool-call'
      ? [{ id: part.toolCallId, name: part.toolName, arguments: toText(part.input) }]
      : [],
  )
  // What the model thought is not said to it again.
  const said = content.filter(({ type }) => type !== 'tool-call' && type !== 'reasoning')
  return [{ role, content: textOf(said, index), ...(calls.length && { toolCalls: calls }) }]
}

function textOf(parts: readonly Part[], index: number): string {
  return parts
    .map((part) => {
      if (part.type === 'text') return part.text
      throw unread(part, index)
    })
    .join('')
}

type Output = Extract<Part, { type: 'tool-result' }>['output']

function resultOf(output: Output, index: number): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value
    case 'json':
    case 'error-json':
      return toText(output.value)
    case 'execution-denied':
      return output.reason ?? 'The call was not allowed.'
    case 'content':
      return output.value
        .map((part) => {
          if (part.type === 'text') return part.text
          throw unread(part, index)
        })
        .join('')
  }
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function unread({ type }: { readonly type: string }, index: number): FacetError {
  const field = `prompt[${index}].content`
  return new FacetError('unsupported', `${field} holds a part of type ${type}, and Gemma reads text only.`, {
    field,
  })
}
