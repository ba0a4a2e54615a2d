/** A server's refusal as a FacetError: OpenAI's error body first, the HTTP status where it says nothing. */
import { type ErrorCode, FacetError, type FacetErrorOptions, isErrorCode } from '../errors.ts'
import { isObject, type Json } from './wire.ts'

/** Nobody should sleep for a day because a server said so. */
const MAX_RETRY_AFTER_MS = 60_000
const MAX_MESSAGE_CHARS = 500

/** Codes and types of OpenAI, vLLM and Google that are not ours already. */
const FOREIGN: Readonly<Record<string, ErrorCode>> = {
  invalid_api_key: 'unauthorized',
  authentication_error: 'unauthorized',
  UNAUTHENTICATED: 'unauthorized',
  permission_error: 'forbidden',
  PERMISSION_DENIED: 'forbidden',
  // Waiting does not refill a quota; another server may have one.
  insufficient_quota: 'forbidden',
  rate_limit_exceeded: 'rate_limited',
  rate_limit_error: 'rate_limited',
  RESOURCE_EXHAUSTED: 'rate_limited',
  server_error: 'internal',
  api_error: 'internal',
  overloaded_error: 'unavailable',
  UNAVAILABLE: 'unavailable',
  DEADLINE_EXCEEDED: 'timeout',
  invalid_request_error: 'invalid_request',
  INVALID_ARGUMENT: 'invalid_request',
  BadRequestError: 'invalid_request',
  NotFoundError: 'not_found',
}

const STATUSES: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'timeout',
  413: 'request_too_large',
  422: 'invalid_request',
  429: 'rate_limited',
  500: 'internal',
  501: 'unsupported',
  503: 'unavailable',
  504: 'timeout',
  507: 'out_of_memory',
  529: 'unavailable',
}

export interface Refusal {
  readonly code: ErrorCode
  /** The server's own words, shortened. */
  readonly message?: string
  readonly field?: string
  readonly status?: number
}

/**
 * Reads `{error: {message, type, param, code}}`, Google's list of one of these, and vLLM's flat one.
 *
 * @param status of the HTTP answer, left out inside a stream, where 200 was sent long ago
 */
export function refusalFrom(body: unknown, status?: number): Refusal {
  const error = errorObject(body)
  const numeric = typeof error.code === 'number' ? error.code : status
  const named = [error.code, error.type, error.status].find(isKnown)
  const specific = named !== undefined && named !== 'invalid_request_error'
  const code =
    (specific && codeOf(named)) ||
    (numeric !== undefined && codeOfStatus(numeric)) ||
    (named !== undefined && codeOf(named)) ||
    'internal'
  const message = typeof error.message === 'string' ? error.message.trim() : ''
  // vLLM names this one only in prose, and another server may have the room.
  const tooLong = code === 'invalid_request' && /maximum context length/i.test(message)
  return {
    code: tooLong ? 'context_length_exceeded' : code,
    ...(message && { message: toOneLine(message) }),
    ...(typeof error.param === 'string' && { field: error.param }),
    ...(numeric !== undefined && numeric >= 400 && numeric < 600 && { status: numeric }),
  }
}

/** True when a JSON body or a chunk carries an error, whatever its status. */
export function carriesError(body: unknown): boolean {
  return isObject(body) && body.error !== undefined && body.error !== null
}

/**
 * How long the server asks to wait: `Retry-After` in seconds or as a date, or OpenAI's exact
 * `retry-after-ms`; at most a minute.
 *
 * @param nowMs Unix time in milliseconds, which a date is measured against
 */
export function retryAfterFrom(headers: Headers, nowMs: number): number | undefined {
  const exactMs = headers.get('retry-after-ms')?.trim()
  const value = headers.get('retry-after')?.trim() ?? ''
  const isNumber = (text: string): boolean => /^\d+(\.\d+)?$/.test(text)
  // Left to Date.parse, nonsense such as "-5" would be a year.
  const dateMs = /^[a-z]{3}/i.test(value) ? Date.parse(value) : Number.NaN
  let waitMs = isNumber(value) ? Number(value) * 1000 : dateMs - nowMs
  if (exactMs !== undefined && isNumber(exactMs)) waitMs = Number(exactMs)
  if (Number.isNaN(waitMs)) return undefined
  return Math.min(Math.max(Math.round(waitMs), 0), MAX_RETRY_AFTER_MS)
}

function errorObject(body: unknown): Json {
  const whole: unknown = Array.isArray(body) ? body[0] : body
  if (!isObject(whole)) return {}
  if (typeof whole.error === 'string') return { message: whole.error }
  return isObject(whole.error) ? whole.error : whole
}

function isKnown(name: unknown): name is string {
  return isErrorCode(name) || (typeof name === 'string' && Object.hasOwn(FOREIGN, name))
}

function codeOf(name: string): ErrorCode | undefined {
  return isErrorCode(name) ? name : FOREIGN[name]
}

function codeOfStatus(status: number): ErrorCode {
  const known = STATUSES[status]
  if (known) return known
  if (status >= 500) return 'unavailable'
  return status >= 400 ? 'invalid_request' : 'bad_response'
}

function toOneLine(message: string): string {
  const line = message.replace(/\s+/g, ' ')
  return line.length > MAX_MESSAGE_CHARS ? `${line.slice(0, MAX_MESSAGE_CHARS)}…` : line
}

/** Makes the error, with the refusal's field and status. */
export function toError(refusal: Refusal, message: string, options: FacetErrorOptions = {}): FacetError {
  const { code, field, status } = refusal
  return new FacetError(code, message, { field, status, ...options })
}
