/** API keys: who may ask, known only by the hash of a secret. */
import type { MiddlewareHandler } from 'hono'
import { FacetError } from '../errors.ts'
import type { EdgeEnv } from './exchange.ts'
import type { RateLimits } from './rates.ts'
import type { SignIns } from './sign-ins.ts'

export interface ApiKey extends RateLimits {
  /** For logs and figures, instead of the key. */
  readonly name: string
  /** SHA-256 of the key, 64 hexadecimal digits in lower case. */
  readonly sha256: string
}

/**
 * The keys that are good, or what tells them at the moment of each request: a key that is no longer told is
 * revoked at once. An empty list lets nobody in.
 */
export type KeySource = readonly ApiKey[] | (() => readonly ApiKey[] | Promise<readonly ApiKey[]>)

const LEAST_CHARACTERS = 16
const LINE = /^([\w.-]{1,64}):(?:sha256:([0-9a-fA-F]{64})|([!-+\--~]+))((?:\s+\w+=\S+)*)$/

/**
 * Reads keys as FACET_API_KEYS and key files have them: `name:secret` or `name:sha256:HASH`, separated by
 * commas or lines, each with `requests=N` and `tokens=N` a minute if it has limits of its own. `#` starts a
 * comment line.
 *
 * @param field what to call the text in errors, for example `FACET_API_KEYS`
 * @throws FacetError invalid_request with the number of the entry, never with the entry itself
 */
export async function toApiKeys(text: string, field: string): Promise<ApiKey[]> {
  const entries = text
    .split(/[\r\n]+/)
    .filter((line) => !line.trim().startsWith('#'))
    .flatMap((line) => line.split(','))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
  const keys: ApiKey[] = []
  for (const [i, entry] of entries.entries()) {
    const where = `Entry ${i + 1} of ${field}`
    const [, name, hash, secret, limits] = LINE.exec(entry) ?? []
    if (name === undefined) throw invalid(field, `${where} is not name:key or name:sha256:HASH; correct it.`)
    if (keys.some((key) => key.name === name)) {
      throw invalid(field, `${where} has the name ${name} a second time; give every key its own name.`)
    }
    if (secret !== undefined && secret.length < LEAST_CHARACTERS) {
      throw invalid(field, `${where} has a key below ${LEAST_CHARACTERS} characters; make a longer one.`)
    }
    const sha256 = hash?.toLowerCase() ?? (await sha256Of(secret!))
    keys.push({ name, sha256, ...toLimits(limits!, where, field) })
  }
  return keys
}

function toLimits(text: string, where: string, field: string): RateLimits {
  const limits: { -readonly [K in keyof RateLimits]: RateLimits[K] } = {}
  for (const [, name, value] of text.matchAll(/(\w+)=(\S+)/g)) {
    const count = /^\d{1,12}$/.test(value!) ? Number(value) : 0
    const known = name === 'requests' || name === 'tokens'
    if (!known || count < 1) {
      throw invalid(field, `${where} has a limit that is not requests=N or tokens=N with a whole N above 0.`)
    }
    limits[name === 'requests' ? 'requestsPerMinute' : 'tokensPerMinute'] = count
  }
  return limits
}

/**
 * Lets in who shows a key that is good, and notes its name. A key that has been good before is looked up
 * whatever else its address does: others may share it.
 */
export function requireKey(source: KeySource, signIns: SignIns): MiddlewareHandler<EdgeEnv> {
  /** Hashes of good keys that have been shown: WebCrypto's way through another thread is long for a request. */
  const hashes = new Map<string, string>()
  return async (c, next) => {
    const exchange = c.get('exchange')
    const refuse = (sentence: string): FacetError => {
      exchange.headers.set('www-authenticate', 'Bearer realm="Facet"')
      return new FacetError('unauthorized', sentence)
    }
    const presented = presentedKey(c.req.raw.headers)
    if (presented === undefined) {
      throw refuse('This server needs an API key; send it as Authorization: Bearer KEY.')
    }
    if (!hashes.has(presented)) signIns.assertFew(c.req.raw, c.env)
    const keys = typeof source === 'function' ? await source() : source
    const hash = hashes.get(presented) ?? (await sha256Of(presented))
    const key = findKey(keys, hash)
    if (!key) {
      hashes.delete(presented)
      signIns.addWrong(c.req.raw, c.env)
      throw refuse('The API key is not known here, or no longer; ask for a new one.')
    }
    hashes.set(presented, hash)
    exchange.key = key.name
    exchange.limits = key
    await next()
  }
}

/** OpenAI's header, or the one that gateways use. */
function presentedKey(headers: Headers): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1]
  return bearer ?? headers.get('x-api-key') ?? undefined
}

/** Takes the same time whichever key it is, and whether it is one at all. */
function findKey(keys: readonly ApiKey[], hash: string): ApiKey | undefined {
  let found: ApiKey | undefined
  for (const key of keys) if (equal(key.sha256, hash)) found = key
  return found
}

function equal(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < b.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

const encoder = new TextEncoder()

async function sha256Of(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', encoder.encode(text))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const SECRET_PARAMETERS = new Set(
  'key apikey xapikey googapikey accesskey token accesstoken authtoken auth authorization bearer secret'.split(
    ' ',
  ),
)

/** Addresses stand in logs, histories and referrers: a key that came in one is no secret any more. */
export function refuseKeysInQuery(): MiddlewareHandler<EdgeEnv> {
  return async (c, next) => {
    const { url } = c.req.raw
    if (url.includes('?')) {
      for (const [name, value] of new URL(url).searchParams) {
        const plain = name.toLowerCase().replaceAll(/[^a-z]/g, '')
        if (!SECRET_PARAMETERS.has(plain) && !/^(sk-|Bearer\b)/.test(value)) continue
        throw invalid(
          name.slice(0, 80),
          'A key must not stand in the address, where logs keep it; send it as Authorization: Bearer KEY, and replace this one.',
        )
      }
    }
    await next()
  }
}

function invalid(field: string, sentence: string): FacetError {
  return new FacetError('invalid_request', sentence, { field })
}
