/** What `createClient` takes, checked once, and what must never be shown of it. */
import { FacetError } from '../errors.ts'
import type { Endpoint, ModelSpec, Timeouts, TokenSource } from '../types.ts'
import { type Clock, systemClock } from './deadline.ts'

export interface ClientOptions extends Endpoint {
  /** Default: `globalThis.fetch`. */
  readonly fetch?: typeof globalThis.fetch
  /** Sent with every request; they win over the client's own. */
  readonly headers?: Readonly<Record<string, string>>
  /** Signs every request in, instead of apiKey. */
  readonly auth?: TokenSource
  /** Added to every request's body, for what only this server knows; it wins over the request's own fields. */
  readonly extraBody?: Readonly<Record<string, unknown>>
  /** What is known of the model, for a router's policies: tier, price, contextTokens, features. */
  readonly spec?: Partial<ModelSpec>
  /** Defaults: 120 s to the first content, 30 s between contents, 10 minutes in all. Infinity: no limit. */
  readonly timeouts?: Partial<Timeouts>
  /** What errors and `start` events call this server. Default: its host. */
  readonly name?: string
  readonly clock?: Clock
}

/** A prefill of a long prompt on a CPU takes a minute and more. */
export const TIMEOUTS: Timeouts = { firstTokenMs: 120_000, idleMs: 30_000, totalMs: 600_000 }

export interface Settings {
  readonly name: string
  readonly model: string | undefined
  readonly spec?: Partial<ModelSpec> | undefined
  readonly fetch: typeof globalThis.fetch
  readonly extraBody: Readonly<Record<string, unknown>>
  readonly timeouts: Timeouts
  readonly clock: Clock
  urlOf(path: string): URL
  /** What one request is sent with, its token included. */
  headers(signal: AbortSignal): Promise<Headers>
  /** The server answered 401 to these headers; true where others may be had. */
  refused(headers: Headers): boolean
  /** The text without the key, the tokens and the headers' values. */
  hide(text: string): string
}

/** @throws FacetError invalid_request, with the option's name */
export function settingsFrom(options: ClientOptions): Settings {
  const base = baseFrom(options.baseURL)
  const { apiKey, model } = options
  for (const [field, value] of Object.entries({ apiKey, model, name: options.name })) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw bad(field, 'must be a text that is not empty; leave it out if there is none')
    }
  }
  const headers = new Headers({ 'content-type': 'application/json' })
  if (apiKey !== undefined) setHeader(headers, 'apiKey', 'authorization', `Bearer ${apiKey}`)
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    setHeader(headers, 'headers', name, value)
  }
  const { auth, extraBody = {} } = options
  if (auth !== undefined && apiKey !== undefined) throw bad('auth', 'and apiKey exclude each other; give one')
  const secrets = secretsOf(apiKey, options.headers)
  const tokens: string[] = []
  return {
    name: options.name ?? base.host,
    model,
    spec: options.spec,
    fetch: detached(options.fetch),
    extraBody,
    timeouts: withTimeouts(TIMEOUTS, options.timeouts),
    clock: options.clock ?? systemClock,
    urlOf(path) {
      const url = new URL(base)
      url.pathname = base.pathname.replace(/\/+$/, '') + path
      return url
    },
    async headers(signal) {
      if (!auth) return headers
      const token = await auth.token(signal)
      // Requests with the one before may still be under way.
      if (token !== tokens[0]) tokens.splice(0, tokens.length, token, ...tokens.slice(0, 1))
      const signed = new Headers(headers)
      setHeader(signed, 'auth', 'authorization', `Bearer ${token}`)
      return signed
    },
    refused(sent) {
      auth?.refused(sent.get('authorization')?.slice('Bearer '.length) ?? '')
      return auth !== undefined
    },
    hide: (text) =>
      [...tokens, ...secrets].reduce((hidden, secret) => hidden.replaceAll(secret, '[hidden]'), text),
  }
}

/** A fetch that may be called as anything's method: runtimes refuse their own with another `this`. */
export function detached(fetch: typeof globalThis.fetch | undefined): typeof globalThis.fetch {
  return (input, init) => (fetch ?? globalThis.fetch)(input, init)
}

/** The defaults with the caller's own, each more than 0. */
export function withTimeouts(defaults: Timeouts, own: Partial<Timeouts> | undefined): Timeouts {
  const timeouts = { ...defaults }
  for (const name of ['firstTokenMs', 'idleMs', 'totalMs'] as const) {
    const value = own?.[name]
    if (value === undefined) continue
    if (typeof value !== 'number' || !(value > 0)) {
      throw bad(`timeouts.${name}`, 'must be a number of milliseconds greater than 0')
    }
    timeouts[name] = value
  }
  return timeouts
}

function baseFrom(value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw bad('baseURL', 'must be an http(s) URL such as http://localhost:8787/v1')
  }
  if (url.username || url.password) {
    throw bad('baseURL', 'must not hold a user or password; use apiKey or headers')
  }
  url.hash = ''
  return url
}

/** The runtime's own error would quote the value, which may be a key. */
function setHeader(headers: Headers, field: string, name: string, value: string): void {
  try {
    headers.set(name, value)
  } catch {
    throw bad(field, 'holds a character that an HTTP header cannot carry')
  }
}

/** What no error may show, the longest first, so that none is hidden in part. */
function secretsOf(apiKey: string | undefined, headers: Readonly<Record<string, string>> = {}): string[] {
  // Schemes such as "Bearer" and short values are words that a message may well contain.
  const values = Object.values(headers).flatMap((value) => [value, ...value.split(/\s+/)])
  const secrets = values.filter((value) => value.length >= 8)
  if (apiKey !== undefined) secrets.unshift(apiKey)
  return secrets.sort((a, b) => b.length - a.length)
}

function bad(field: string, message: string): FacetError {
  return new FacetError('invalid_request', `${field} ${message}.`, { field })
}
