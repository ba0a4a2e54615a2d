/** FacetError and the one table that says, for every code, its HTTP status and whether to try again. */

export type Retry = 'never' | 'same' | 'elsewhere'

interface ErrorKind {
  /** HTTP status the edge answers with. */
  readonly status: number
  /** never: the request is at fault. same: this backend, later. elsewhere: another backend may answer. */
  readonly retry: Retry
}

export type ErrorCode =
  | 'invalid_request'
  | 'context_length_exceeded'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'model_not_found'
  | 'method_not_allowed'
  | 'request_too_large'
  | 'rate_limited'
  | 'queue_full'
  | 'budget_exceeded'
  | 'aborted'
  | 'internal'
  | 'unsupported'
  | 'connection_failed'
  | 'bad_response'
  | 'stream_interrupted'
  | 'unavailable'
  | 'timeout'
  | 'out_of_memory'
  | 'invalid_checkpoint'
  | 'invalid_model'
  | 'checksum_mismatch'
  | 'tokenizer_missing'
  | 'io_failed'

const TABLE: Readonly<Record<ErrorCode, ErrorKind>> = {
  invalid_request: { status: 400, retry: 'never' },
  context_length_exceeded: { status: 400, retry: 'elsewhere' },
  unauthorized: { status: 401, retry: 'elsewhere' },
  forbidden: { status: 403, retry: 'elsewhere' },
  not_found: { status: 404, retry: 'never' },
  model_not_found: { status: 404, retry: 'elsewhere' },
  method_not_allowed: { status: 405, retry: 'never' },
  request_too_large: { status: 413, retry: 'never' },
  rate_limited: { status: 429, retry: 'same' },
  queue_full: { status: 429, retry: 'elsewhere' },
  /** The caller's own limit on money or tokens; a backend that costs less may still be allowed. */
  budget_exceeded: { status: 429, retry: 'elsewhere' },
  aborted: { status: 499, retry: 'never' },
  internal: { status: 500, retry: 'same' },
  unsupported: { status: 501, retry: 'elsewhere' },
  connection_failed: { status: 502, retry: 'elsewhere' },
  bad_response: { status: 502, retry: 'elsewhere' },
  /** The stream broke after content had been delivered: nothing may be resent. */
  stream_interrupted: { status: 502, retry: 'never' },
  unavailable: { status: 503, retry: 'elsewhere' },
  timeout: { status: 504, retry: 'elsewhere' },
  out_of_memory: { status: 507, retry: 'elsewhere' },
  /** A file on disk or on the wire is not what it should be. */
  invalid_checkpoint: { status: 500, retry: 'never' },
  invalid_model: { status: 500, retry: 'never' },
  checksum_mismatch: { status: 500, retry: 'never' },
  tokenizer_missing: { status: 500, retry: 'never' },
  /** The operating system refused: no space, no permission, port in use. */
  io_failed: { status: 500, retry: 'never' },
}

export interface FacetErrorOptions {
  /** The request's field or the file's part at fault, for example `temperature`, `messages[2].role`. */
  readonly field?: string | undefined
  readonly retryAfterMs?: number | undefined
  /** Overrides the table: never, where content was delivered and asking again would say it twice. */
  readonly retry?: Retry | undefined
  /** Overrides the table's status where a server gave a more exact one. */
  readonly status?: number | undefined
  /** Which backend failed. */
  readonly backend?: string | undefined
  /** The server had accepted the request: it may have worked, and charged, for it. */
  readonly accepted?: boolean | undefined
  readonly cause?: unknown
}

/**
 * The only error Facet throws on purpose. The message is one sentence that says what is wrong and
 * what to do; whoever shows it need not add anything.
 */
export class FacetError extends Error {
  override readonly name = 'FacetError'
  readonly code: ErrorCode
  readonly status: number
  readonly retry: Retry
  readonly field: string | undefined
  readonly retryAfterMs: number | undefined
  readonly backend: string | undefined
  readonly accepted: boolean

  constructor(code: ErrorCode, message: string, options: FacetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? TABLE[code].status
    this.retry = options.retry ?? TABLE[code].retry
    this.field = options.field
    this.retryAfterMs = options.retryAfterMs
    this.backend = options.backend
    this.accepted = options.accepted ?? false
  }
}

/** The same error with other options or other words. */
export function changed(
  error: FacetError,
  options: FacetErrorOptions,
  message: string = error.message,
): FacetError {
  return new FacetError(error.code, message, { ...error, cause: error.cause, ...options })
}

/** True for a known code: for errors that arrive over a wire. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(TABLE, code)
}

/** Any thrown value as a FacetError: unchanged, as `aborted`, or as `internal` with its cause. */
export function toFacetError(error: unknown): FacetError {
  if (error instanceof FacetError) return error
  if (error instanceof Error && error.name === 'AbortError') {
    return new FacetError('aborted', 'The request was aborted.', { cause: error })
  }
  const text = error instanceof Error ? error.message : String(error)
  return new FacetError('internal', `Something in Facet failed that should not: ${text}`, { cause: error })
}

/** What a signal's abort means to the caller: its own FacetError, `timeout` for AbortSignal.timeout, else `aborted`. */
export function abortedError(signal?: AbortSignal, backend?: string): FacetError {
  const cause: unknown = signal?.reason
  if (cause instanceof FacetError) return cause
  const options = { cause, backend }
  return cause instanceof Error && cause.name === 'TimeoutError'
    ? new FacetError('timeout', "The caller's own time limit has passed.", options)
    : new FacetError('aborted', 'The request was aborted.', options)
}
