/** POST /v1/tokenize and /v1/detokenize: a prompt as token ids and back, with vLLM's field names. */
import { FacetError } from '../errors.ts'
import type { Backend, Message, Prompt } from '../types.ts'
import { message } from './chat-message.ts'
import {
  about,
  closed,
  integerIn,
  listOf,
  nonEmptyText,
  optional,
  readFields,
  type Schema,
  text,
} from './field.ts'

interface TokenizeFields {
  readonly model: string | undefined
  readonly prompt: string | undefined
  readonly messages: readonly Message[] | undefined
}

interface DetokenizeFields {
  readonly model: string | undefined
  readonly tokens: readonly number[]
}

export interface TokenizeCall {
  readonly model: string | undefined
  readonly prompt: Prompt
}

const MOST_MESSAGES = 10_000
const MOST_IDS = 1_000_000

const model = about("Default: the server's first.", optional(nonEmptyText))

export const tokenizeSchema: Schema<TokenizeFields> = closed({
  model,
  prompt: about('A text, after the token that begins one; or give messages.', optional(text)),
  messages: about(
    'A conversation, as the model is given it; or give a prompt.',
    optional(listOf(message, 'a list of messages', 1, MOST_MESSAGES)),
  ),
})

export const detokenizeSchema: Schema<DetokenizeFields> = closed({
  model,
  tokens: listOf(integerIn(0, 2 ** 31 - 1, 'a token id'), 'a list of token ids', 0, MOST_IDS),
})

export function toTokenizeCall(json: unknown): TokenizeCall {
  const { model, prompt, messages } = readFields(tokenizeSchema, json)
  if (prompt !== undefined && messages === undefined) return { model, prompt: { prompt } }
  if (messages !== undefined && prompt === undefined) return { model, prompt: { messages } }
  throw new FacetError('invalid_request', 'prompt or messages must be given, one of them.', {
    field: 'prompt',
  })
}

export function toDetokenizeCall(json: unknown): DetokenizeFields {
  return readFields(detokenizeSchema, json)
}

export async function toTokens(
  { prompt }: TokenizeCall,
  backend: Backend,
  signal: AbortSignal,
): Promise<Response> {
  if (!backend.tokenize) throw cannot(backend)
  const tokens = await backend.tokenize(prompt, { signal })
  return Response.json({
    object: 'list',
    model: backend.model.id,
    count: tokens.length,
    max_model_len: backend.model.contextTokens ?? null,
    tokens,
  })
}

export async function toText(
  { tokens }: DetokenizeFields,
  backend: Backend,
  signal: AbortSignal,
): Promise<Response> {
  if (!backend.detokenize) throw cannot(backend)
  const prompt = await backend.detokenize(tokens, { signal })
  return Response.json({ object: 'text', model: backend.model.id, prompt })
}

function cannot({ name }: Backend): FacetError {
  return new FacetError(
    'unsupported',
    `${name} does not tell its tokens; ask a server that runs the model itself.`,
    {
      field: 'model',
    },
  )
}
