/** FacetErrors on the wire, in OpenAI's JSON shape. */
import { changed, FacetError, toFacetError } from '../errors.ts'

export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    /** The field at fault, for example `messages[1].content`. */
    readonly param: string | null
    /** A code of Facet's error table, by which a client can tell errors apart. */
    readonly code: string
  }
}

/** Called with what should never happen: a bug, not a user's mistake. */
export type Report = (error: FacetError) => void

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
}

export function toErrorBody(error: FacetError): ErrorBody {
  const type = TYPES[error.status] ?? (error.status < 500 ? 'invalid_request_error' : 'server_error')
  return { error: { message: error.message, type, param: error.field ?? null, code: error.code } }
}

/** Fields of requests that the wire knows by another name. */
const NAMES: Readonly<Record<string, string>> = {
  topK: 'top_k',
  topP: 'top_p',
  minP: 'min_p',
  maxTokens: 'max_tokens',
  logitBias: 'logit_bias',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  repetitionPenalty: 'repetition_penalty',
  responseFormat: 'response_format',
  toolChoice: 'tool_choice',
  parallelToolCalls: 'parallel_tool_calls',
  toolCalls: 'tool_calls',
  toolCallId: 'tool_call_id',
}
const NAME = new RegExp(`\\b(?:${Object.keys(NAMES).join('|')})\\b`, 'g')

/** A Backend's complaint about `logitBias`, to a client that knows it as `logit_bias`. */
export function toWireNames(error: FacetError): FacetError {
  const { field, status, retryAfterMs, backend, cause } = error
  if (field === undefined) return error
  const wire = toWirePath(field)
  // What is named in passing; the field itself may hold names that are the caller's own.
  const message = error.message.split(field).map(renamed).join(wire)
  return new FacetError(error.code, message, {
    field: wire,
    status,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(backend !== undefined && { backend }),
    ...(cause !== undefined && { cause }),
  })
}

function toWirePath(field: string): string {
  const format = /^responseFormat\.schema\b/.exec(field)?.[0]
  if (format) return `response_format.json_schema.schema${field.slice(format.length)}`
  const tool = /^tools\[\d+\](?=\.)/.exec(field)?.[0]
  if (tool) return `${tool}.function${field.slice(tool.length)}`
  return renamed(field)
}

function renamed(text: string): string {
  return text.replace(NAME, (name) => NAMES[name]!)
}

export function toErrorResponse(thrown: unknown, report: Report, extra: object = {}): Response {
  const error = asRefusal(toFacetError(thrown))
  if (error.code === 'internal') report(error)
  return Response.json(
    { ...toErrorBody(error), ...extra },
    { status: error.status, headers: toHeaders(error) },
  )
}

/** A parameter that cannot be served here is refused like any other mistake; 501 is for what is no parameter. */
function asRefusal(error: FacetError): FacetError {
  return error.code === 'unsupported' && error.field !== undefined ? changed(error, { status: 400 }) : error
}

/** Retry-After counts whole seconds; openai-node also reads the exact milliseconds. */
function toHeaders({ retryAfterMs }: FacetError): Record<string, string> {
  if (retryAfterMs === undefined) return {}
  return {
    'retry-after': String(Math.ceil(retryAfterMs / 1000)),
    'retry-after-ms': String(Math.ceil(retryAfterMs)),
  }
}
