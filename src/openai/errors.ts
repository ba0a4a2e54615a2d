/** The official package's error classes, as questions to a FacetError: `error instanceof OpenAI.RateLimitError`. */
import { type ErrorCode, FacetError } from '../errors.ts'

/** Stands on the right of `instanceof`. */
export interface ErrorKind {
  [Symbol.hasInstance](value: unknown): value is FacetError
}

export const APIUserAbortError: ErrorKind = kind(({ code }) => code === 'aborted')
export const APIConnectionTimeoutError: ErrorKind = kind(({ code }) => code === 'timeout')
export const APIConnectionError: ErrorKind = kind(({ code }) => OF_THE_WAY.includes(code))
export const BadRequestError: ErrorKind = kind(({ status }) => status === 400)
export const AuthenticationError: ErrorKind = kind(({ status }) => status === 401)
export const PermissionDeniedError: ErrorKind = kind(({ status }) => status === 403)
export const NotFoundError: ErrorKind = kind(({ status }) => status === 404)
export const ConflictError: ErrorKind = kind(({ status }) => status === 409)
export const UnprocessableEntityError: ErrorKind = kind(({ status }) => status === 422)
export const RateLimitError: ErrorKind = kind(({ status }) => status === 429)
export const InternalServerError: ErrorKind = kind(
  ({ status, code }) => status >= 500 && !OF_THE_WAY.includes(code),
)

/** No server answered these; the official classes have no status either. */
const OF_THE_WAY: readonly ErrorCode[] = ['connection_failed', 'timeout']

function kind(is: (error: FacetError) => boolean): ErrorKind {
  return {
    [Symbol.hasInstance]: (value: unknown): value is FacetError => value instanceof FacetError && is(value),
  }
}
