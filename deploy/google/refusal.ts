/** What Google's APIs refuse with, by gRPC or as JSON: told as a signal, and as one sentence with its cause. */
import { isObject } from '../../src/check.ts'
import { type ErrorCode, FacetError } from '../../src/errors.ts'
import { type CauseName, type Signal, sentence } from '../cause.ts'
import { fromCloud } from '../cause-cloud.ts'

type Refusal = Extract<Signal, { readonly type: 'event' | 'condition' | 'error' }>

/** By number, as google.rpc.Code has them. */
const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const

export type GoogleCode = (typeof CODES)[number]

/** For APIs that answer without a status of google.rpc, such as Cloud Storage. */
const BY_HTTP: Readonly<Record<number, GoogleCode>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ALREADY_EXISTS',
  412: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
}

/** An answer of one of Google's JSON APIs that is no success. */
export class RestRefusal extends Error {
  readonly status: number
  readonly body: unknown
  readonly retryAfterMs: number | undefined

  constructor(status: number, body: unknown, retryAfterMs: number | undefined) {
    const error = isObject(body) && isObject(body.error) ? body.error : {}
    super(typeof error.message === 'string' ? error.message : `The service answered ${status}.`)
    this.status = status
    this.body = body
    this.retryAfterMs = retryAfterMs
  }
}

/** Undefined for what none of Google's APIs has said. */
export function codeOf(error: unknown): GoogleCode | undefined {
  if (error instanceof RestRefusal) {
    const told = isObject(error.body) && isObject(error.body.error) ? error.body.error.status : undefined
    return CODES.find((code) => code === told) ?? BY_HTTP[error.status] ?? 'UNKNOWN'
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? CODES[code] : undefined
}

/** @param source what was asked, such as `Cloud Run service facet-gemma` */
export function toSignal(source: string, error: unknown): Refusal {
  const reason = codeOf(error) ?? 'UNKNOWN'
  const details = detailsOf(error)
  const message = messageOf(error)
  return { type: 'error', source, reason, message, ...(details && { details }) }
}

/** gRPC's own words begin with number and name of the code. A QuotaFailure says which quota it was in words of its own. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const told = text.replace(/^\d+ [A-Z_]+: /, '')
  const more = listOfDetails(error).map((detail) => textOf(firstOf(detail.violations).description))
  return [told, ...more.filter((one) => one !== '' && !told.includes(one))].join(' ')
}

const firstOf = (list: unknown): Readonly<Record<string, unknown>> =>
  Array.isArray(list) && isObject(list[0]) ? list[0] : {}
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** ErrorInfo's metadata, the quota of a QuotaFailure by the same names, and the field of the first violation. */
function detailsOf(error: unknown): Readonly<Record<string, string>> | undefined {
  const details = listOfDetails(error)
  const found: Record<string, string> = {}
  for (const detail of details) {
    for (const [name, value] of Object.entries(isObject(detail.metadata) ? detail.metadata : {}))
      if (typeof value === 'string') found[name] = value
    const field = textOf(firstOf(detail.fieldViolations).field)
    if (field !== '') found.field = field
    const { quotaId, quotaMetric, quotaValue } = firstOf(detail.violations)
    const quota = textOf(quotaId) || textOf(quotaMetric)
    if (quota !== '') found.quota_limit ??= quota
    // 64 bits, which JSON has as text.
    if (quota !== '' && quotaValue !== undefined) found.quota_limit_value ??= String(quotaValue)
  }
  return Object.keys(found).length > 0 ? found : undefined
}

function listOfDetails(error: unknown): readonly Record<string, unknown>[] {
  const list =
    error instanceof RestRefusal
      ? isObject(error.body) && isObject(error.body.error)
        ? error.body.error.details
        : undefined
      : error instanceof Error && 'statusDetails' in error
        ? error.statusDetails
        : undefined
  return Array.isArray(list) ? list.filter(isObject) : []
}

const ERRORS: Readonly<Partial<Record<CauseName, ErrorCode>>> = {
  IAM: 'forbidden',
  QUOTA: 'rate_limited',
  SPEC: 'invalid_request',
  NETWORK: 'connection_failed',
}

/**
 * One sentence that begins with the cause. What is none of Google's refusals comes back as it was.
 *
 * @param what was tried, such as `create Cloud Run service facet-gemma`
 */
export function toRefused(what: string, error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined) return error
  const signal = toSignal(what, error)
  const finding = fromCloud(signal)
  if (!finding) {
    const says = `The service answered ${code} to ${what}: ${sentence(signal.message)} Run the command again.`
    return new FacetError('unavailable', says, { retry: 'never', cause: error })
  }
  const told = code === 'UNAUTHENTICATED' ? 'unauthorized' : (ERRORS[finding.cause] ?? 'unavailable')
  const says = `${finding.cause}: ${finding.says} (${what})`
  // Whoever waits for something may ask again; everything else is somebody's to mend.
  const retry = finding.cause === 'NETWORK' ? undefined : 'never'
  return new FacetError(told, says, { retry, cause: error, ...fieldOf(finding) })
}

function fieldOf(finding: object): { readonly field?: string } {
  return 'field' in finding && typeof finding.field === 'string' ? { field: finding.field } : {}
}
