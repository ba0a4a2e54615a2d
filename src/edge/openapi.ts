/** The OpenAPI 3.1 document, made of the schemas that requests are read with. */
import { chatSchema } from './chat-request.ts'
import { completionSchema } from './completion-request.ts'
import { embeddingSchema } from './embeddings.ts'
import { type Schema, toJsonSchema } from './field.ts'
import { detokenizeSchema, tokenizeSchema } from './tokenize.ts'

export interface Operation {
  readonly method: 'get' | 'post'
  readonly path: string
  readonly summary: string
  /** Of the request's body. */
  readonly body?: Schema<unknown>
  /** Media types of the answer. Default: JSON. */
  readonly answers?: readonly string[]
}

/** Everything this server answers, in the order in which it is shown. */
export const OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/v1/chat/completions',
    summary: 'Answer a conversation, as JSON or as a stream of events.',
    body: chatSchema,
    answers: ['application/json', 'text/event-stream'],
  },
  {
    method: 'post',
    path: '/v1/completions',
    summary: 'Continue raw prompts, as JSON or as a stream of events.',
    body: completionSchema,
    answers: ['application/json', 'text/event-stream'],
  },
  {
    method: 'post',
    path: '/v1/embeddings',
    summary: 'Experimental: texts as vectors of length 1, the mean of their hidden states.',
    body: embeddingSchema,
  },
  { method: 'post', path: '/v1/tokenize', summary: 'A prompt as token ids.', body: tokenizeSchema },
  { method: 'post', path: '/v1/detokenize', summary: 'Token ids as text.', body: detokenizeSchema },
  { method: 'get', path: '/v1/models', summary: 'The models this server has.' },
  { method: 'get', path: '/v1/models/{id}', summary: 'One model.' },
  { method: 'get', path: '/healthz', summary: 'Whether the server runs.' },
  { method: 'get', path: '/readyz', summary: 'Whether it can answer.' },
  { method: 'get', path: '/metrics', summary: 'Figures for Prometheus.', answers: ['text/plain'] },
  { method: 'get', path: '/stats', summary: 'The same figures as JSON.' },
  { method: 'get', path: '/openapi.json', summary: 'This document.' },
]

const ERROR = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        message: { type: 'string', description: 'What is wrong and what to do, in one sentence.' },
        type: { type: 'string' },
        param: { type: ['string', 'null'], description: 'The field at fault.' },
        code: { type: 'string' },
      },
      required: ['message', 'type', 'param', 'code'],
    },
  },
  required: ['error'],
}

/** Of the API, as the path says; the package has its own. */
export const VERSION = 'v1'

export function toOpenApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: toPathItem(operation) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Facet',
      version,
      description: "Gemma behind OpenAI's API. Whatever is not listed here is refused by name.",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: { Error: ERROR },
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
    },
    security: [{}, { key: [] }],
  }
}

function toPathItem({ method, path, summary, body, answers = ['application/json'] }: Operation): object {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  return {
    operationId: `${method}${path.replaceAll(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: toJsonSchema(body) } } },
    }),
    responses: {
      200: { description: 'The answer.', content: Object.fromEntries(answers.map((type) => [type, {}])) },
      default: {
        description: 'What went wrong.',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}
