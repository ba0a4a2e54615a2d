/** FacetErrors on the wire, in OpenAI's JSON shape. */
import { FacetError, toFacetError } from '../errors.ts'

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

/** A Backend's complaint about `logitBias`, to a client that knows it as `logit_bias`. */
export function toWireNames(error: FacetError): FacetError {
  const [name] = /^[a-z]+[A-Z]\w*/.exec(error.field ?? '') ?? []
  if (!name) return error
  const wire = name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
  const { status, retryAfterMs, backend, cause } = error
  return new FacetError(error.code, error.message.replaceAll(name, wire), {
    field: error.field!.replace(name, wire),
    status,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(backend !== undefined && { backend }),
    ...(cause !== undefined && { cause }),
  })
}

export function toErrorResponse(thrown: unknown, report: Report, extra: object = {}): Response {
  const error = toFacetError(thrown)
  if (error.code === 'internal') report(error)
  return Response.json(
    { ...toErrorBody(error), ...extra },
    { status: error.status, headers: toHeaders(error) },
  )
}

/** Retry-After counts whole seconds; openai-node also reads the exact milliseconds. */
function toHeaders({ retryAfterMs }: FacetError): Record<string, string> {
  if (retryAfterMs === undefined) return {}
  return {
    'retry-after': String(Math.ceil(retryAfterMs / 1000)),
    'retry-after-ms': String(Math.ceil(retryAfterMs)),
  }
}
