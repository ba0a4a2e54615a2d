/** `structured`: an answer as a typed value. */
import { FacetError } from '../errors.ts'
import type { Backend, CallOptions, ChatRequest, JsonSchema, Message } from '../types.ts'
import { plus } from './answer.ts'
import { type Answer, collect } from './collect.ts'
import { parseAs, type StandardSchema, toJsonSchema } from './schema.ts'

export interface StructuredOptions<Output> extends CallOptions {
  readonly schema: StandardSchema<Output>
  /** For schemas of a library that cannot write JSON Schema itself. */
  readonly jsonSchema?: JsonSchema
  /** What the model is told the value is. Default: `answer`. */
  readonly name?: string
  /** How often the model is shown what is wrong and asked again. Default: 0. */
  readonly repairs?: number
}

export interface StructuredAnswer<Output> extends Answer {
  readonly value: Output
  /** Answers before this one that did not fit. `usage` counts them too. */
  readonly repaired: number
}

/** Models that are not held to a schema like to wrap JSON so. */
const FENCED = /^\s*```(?:json)?\s*([\s\S]*?)\s*```\s*$/

/**
 * Asks for an answer that fits the schema, and validates it.
 *
 * @throws FacetError bad_response when it does not fit, with what is wrong; whatever the chat throws
 */
export async function structured<Output>(
  backend: Backend,
  request: ChatRequest,
  options: StructuredOptions<Output>,
): Promise<StructuredAnswer<Output>> {
  const { schema, jsonSchema, name = 'answer', repairs = 0, ...callOptions } = options
  if (!request.messages) {
    throw new FacetError('invalid_request', 'structured needs messages instead of a raw prompt.', {
      field: 'messages',
    })
  }
  const responseFormat = {
    type: 'json_schema' as const,
    name,
    schema: toJsonSchema(schema, jsonSchema, 'schema'),
    strict: true,
  }
  let messages: readonly Message[] = request.messages
  let usage = { promptTokens: 0, completionTokens: 0 }
  for (let repaired = 0; ; repaired++) {
    const answer = await collect(backend.chat({ ...request, messages, responseFormat }, callOptions))
    usage = plus(usage, answer.usage)
    const parsed = await parseAs(schema, FENCED.exec(answer.text)?.[1] ?? answer.text)
    if ('value' in parsed) return { ...answer, usage, value: parsed.value, repaired }
    const wrong = answer.finishReason === 'length' ? 'it was cut at the limit of tokens' : parsed.wrong
    if (repaired >= repairs) {
      throw new FacetError('bad_response', `The answer does not fit the schema: ${wrong}.`, {
        backend: backend.name,
        accepted: true,
      })
    }
    messages = [
      ...messages,
      { role: 'assistant', content: answer.text },
      {
        role: 'user',
        content: `That does not fit the schema: ${wrong}. Answer again, with the corrected JSON alone.`,
      },
    ]
  }
}
