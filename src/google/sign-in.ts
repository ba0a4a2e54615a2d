/** Requests to Google's sign-in servers: forms and JSON out, tokens in, refusals as sentences of our own. */
import { isObject, type Json } from '../client/wire.ts'
import { FacetError } from '../errors.ts'
import type { Minted } from './cached-tokens.ts'

export type Fetch = typeof globalThis.fetch

export interface SignInRequest {
  readonly url: string
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly json?: object
  readonly signal: AbortSignal
  readonly fetch: Fetch
}

export interface SignInResponse {
  readonly status: number
  readonly text: string
  /** Parsed, or nothing where it is no JSON object. */
  readonly json: Json
  /** Unix time by the server's clock, where it says. */
  readonly dateMs: number | undefined
}

/** A token response has some kilobytes. */
const MAX_RESPONSE_CHARS = 256 * 1024

/**
 * Nothing of what is sent or received gets into an error: both hold secrets, and servers quote them.
 *
 * @throws FacetError connection_failed
 */
export async function signIn(request: SignInRequest): Promise<SignInResponse> {
  const { url, method = 'POST', headers = {}, form, json, signal } = request
  const body = form ? new URLSearchParams(form).toString() : json && JSON.stringify(json)
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json'
  try {
    const response = await request.fetch(url, {
      method,
      headers: { ...(body !== undefined && { 'content-type': type }), ...headers },
      ...(body !== undefined && { body }),
      // Following would carry the secret to an address nobody has checked.
      redirect: 'manual',
      signal,
    })
    const text = (await response.text()).slice(0, MAX_RESPONSE_CHARS)
    const dateMs = Date.parse(response.headers.get('date') ?? '')
    return {
      status: response.status,
      text,
      json: objectIn(text),
      dateMs: Number.isNaN(dateMs) ? undefined : dateMs,
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw new FacetError(
      'connection_failed',
      `Could not reach ${new URL(url).origin}${codeOf(error)} to sign in to Google; check the network.`,
    )
  }
}

/** Of an answer `{access_token, expires_in}`. @throws FacetError bad_response */
export function mintedFrom({ json }: SignInResponse): Minted {
  const { access_token: token, expires_in: seconds } = json
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw noToken('access_token')
  if (typeof seconds !== 'number' || !(seconds > 0)) throw noToken('expires_in')
  return { token, lifetimeMs: seconds * 1000 }
}

export function noToken(field: string): FacetError {
  return new FacetError('bad_response', `Google's sign-in answered without a usable ${field}; try again.`, {
    field,
  })
}

/** What the refusal means, and what to do: by OAuth's error code and by words the server is known to use. */
const REFUSALS: readonly (readonly [pattern: RegExp, field: string, message: string])[] = [
  [/signature/i, 'private_key', 'does not fit the account: the key was deleted or replaced; make a new one'],
  [/account not found|account_not_found/i, 'client_email', 'names an account that does not exist any more'],
  [/disabled/i, 'client_email', 'names an account that is disabled; enable it in the console'],
  [/short-lived|\biat\b|\bexp\b/i, 'private_key', "was used with a wrong time: set this machine's clock"],
  [/rapt|reauth/i, 'refresh_token', 'needs a new sign-in: run gcloud auth application-default login'],
  [/expired or revoked/i, 'refresh_token', 'has expired: run gcloud auth application-default login'],
  [/invalid_scope/i, 'scopes', 'holds a scope that Google does not know or grant'],
  [/invalid_target|audience/i, 'audience', 'names no provider that Google knows; check pool and provider'],
  [
    /iam.serviceAccounts.getAccessToken/i,
    'service_account_impersonation_url',
    'names an account that may not be impersonated: grant roles/iam.workloadIdentityUser or roles/iam.serviceAccountTokenCreator',
  ],
]

/** A refusal as a FacetError. @param field the one at fault where the answer does not tell */
export function refusedSignIn({ status, json }: SignInResponse, field: string): FacetError {
  if (status === 429 || status >= 500 || status < 300) {
    return new FacetError('unavailable', `Google's sign-in is not available now (${status}); try again.`)
  }
  const details = isObject(json.error) ? json.error : { code: json.error, message: json.error_description }
  const words = [details.code, details.status, details.message].filter((word) => typeof word === 'string')
  const known = REFUSALS.find(([pattern]) => pattern.test(words.join(' ')))
  const name = `credentials.${known?.[1] ?? field}`
  const what = known?.[2] ?? 'was refused: it has expired, or was revoked or changed; make a new one'
  return new FacetError('unauthorized', `Google refused to sign in (${status}): ${name} ${what}.`, {
    field: name,
  })
}

/** The text as a JSON object; an empty one where it is none, since what is missing is told field by field. */
export function objectIn(text: string): Json {
  try {
    const json: unknown = JSON.parse(text)
    return isObject(json) ? json : {}
  } catch {
    return {}
  }
}

function codeOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return /^[A-Z_]{3,60}$/.test(code) ? ` (${code})` : ''
}
