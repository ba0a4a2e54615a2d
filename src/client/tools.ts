/** `runTools`: calls the functions a model asks for and hands back what they gave, until it answers. */
import { abortedError, FacetError } from '../errors.ts'
import type {
  Backend,
  CallOptions,
  ChatEvent,
  ChatRequest,
  JsonSchema,
  Message,
  ToolCall,
  Usage,
} from '../types.ts'
import { plus } from './answer.ts'
import { type Answer, collect } from './collect.ts'
import { parseAs, type StandardSchema, toJsonSchema } from './schema.ts'

/** A function with the schema that its arguments are validated against. */
export interface RunnableTool<Input = unknown> {
  readonly description?: string
  readonly parameters: StandardSchema<Input>
  /** For schemas of a library that cannot write JSON Schema itself. */
  readonly jsonSchema?: JsonSchema
  /** What it gives back is sent to the model: text as it is, anything else as JSON. What it throws ends the loop. */
  run(input: Input, context: ToolContext): unknown
}

export interface ToolContext {
  readonly call: ToolCall
  readonly signal: AbortSignal | undefined
}

export interface RunToolsOptions extends CallOptions {
  /** By name. */
  readonly tools: Readonly<Record<string, RunnableTool>>
  /** Answers of the model in all, the last without calls. Default: 8. */
  readonly maxRounds?: number
  /** Run the calls of one answer one after the other. Default: all at once. */
  readonly sequential?: boolean
  /** Hears every event of every round as it comes. */
  readonly onEvent?: (event: ChatEvent, round: number) => void
}

export interface ToolsAnswer extends Answer {
  /** The conversation with all calls and results, ending with the answer. */
  readonly messages: readonly Message[]
  readonly rounds: number
}

/** Gives `run` the type of the schema's output. */
export function tool<Input>(definition: RunnableTool<Input>): RunnableTool<Input> {
  return definition
}

/**
 * Asks, calls and asks again. Arguments that do not fit and names that do not exist are told to the
 * model, which may correct itself.
 *
 * @throws FacetError bad_response when the model still calls after maxRounds; whatever a tool or the chat throws
 */
export async function runTools(
  backend: Backend,
  request: ChatRequest,
  options: RunToolsOptions,
): Promise<ToolsAnswer> {
  const { tools, maxRounds = 8, sequential = false, onEvent, ...callOptions } = options
  if (!request.messages) {
    throw new FacetError('invalid_request', 'runTools needs messages instead of a raw prompt.', {
      field: 'messages',
    })
  }
  const offered = Object.entries(tools).map(([name, { description, parameters, jsonSchema }]) => ({
    name,
    parameters: toJsonSchema(parameters, jsonSchema, `tools.${name}.parameters`),
    ...(description !== undefined && { description }),
  }))
  let { toolChoice } = request
  let usage: Usage = { promptTokens: 0, completionTokens: 0 }
  let messages: readonly Message[] = request.messages
  for (let round = 1; round <= maxRounds; round++) {
    const asked = { ...request, messages, tools: offered, ...(toolChoice && { toolChoice }) }
    const answer = await collect(heard(backend.chat(asked, callOptions), (event) => onEvent?.(event, round)))
    usage = plus(usage, answer.usage)
    const { text: content, toolCalls = [] } = answer
    messages = [...messages, { role: 'assistant', content, ...(toolCalls.length > 0 && { toolCalls }) }]
    if (toolCalls.length === 0) return { ...answer, usage, messages, rounds: round }
    const results: Message[] = []
    const runs = toolCalls.map((call) => () => resultOf(tools, { call, signal: options.signal }))
    if (sequential) for (const run of runs) results.push(await run())
    else results.push(...(await Promise.all(runs.map((run) => run()))))
    messages = [...messages, ...results]
    // Who had to call once need not do so for ever.
    if (toolChoice !== 'none') toolChoice = 'auto'
  }
  const message = `The model still calls tools after ${maxRounds} rounds; raise maxRounds, or ask for less.`
  throw new FacetError('bad_response', message, { backend: backend.name, accepted: true })
}

async function resultOf(tools: RunToolsOptions['tools'], context: ToolContext): Promise<Message> {
  const { id, name, arguments: text } = context.call
  const content = Object.hasOwn(tools, name)
    ? await contentOf(tools[name]!, text, context)
    : `Error: there is no tool ${name}, only ${Object.keys(tools).join(', ')}.`
  return { role: 'tool', toolCallId: id, content }
}

async function contentOf(tool: RunnableTool, text: string, context: ToolContext): Promise<string> {
  const parsed = await parseAs(tool.parameters, text || '{}')
  if ('wrong' in parsed) return `Error: the arguments do not fit: ${parsed.wrong}.`
  if (context.signal?.aborted) throw abortedError(context.signal)
  const result = await tool.run(parsed.value, context)
  return typeof result === 'string' ? result : (JSON.stringify(result) ?? 'null')
}

async function* heard(
  events: AsyncIterable<ChatEvent>,
  listen: (event: ChatEvent) => void,
): AsyncGenerator<ChatEvent> {
  for await (const event of events) {
    listen(event)
    yield event
  }
}
