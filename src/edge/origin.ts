/** Which web pages may use the server, and by which names it answers: against requests that browsers are tricked into. */
import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { FacetError } from '../errors.ts'
import type { EdgeEnv } from './exchange.ts'

export interface OriginOptions {
  /**
   * Sites whose pages may ask, for example `https://app.example`; `*` for all. Default: none but the
   * server's own.
   */
  readonly origins?: readonly string[] | '*'
  /**
   * Names the server answers to, without port; default: all. A page can have its own name point to this
   * machine, and would then be of the same origin.
   */
  readonly hosts?: readonly string[]
}

const DAY_SECONDS = 86_400
/** What scripts of other origins may read besides the body. */
const EXPOSED = ['x-request-id', 'retry-after', 'retry-after-ms', 'ratelimit', 'ratelimit-policy']

const trusts = ({ origins = [] }: OriginOptions, origin: string): boolean =>
  origins === '*' || origins.includes(origin)

/**
 * A page of another site may send a simple POST anywhere, this machine's loopback included, and make it
 * compute, though it may not read the answer. Browsers say where a request comes from; nothing else does.
 */
export function guardOrigin(options: OriginOptions): MiddlewareHandler<EdgeEnv> {
  const hosts = options.hosts && new Set(options.hosts.map((host) => host.toLowerCase()))
  return async (c, next) => {
    const { headers, method } = c.req.raw
    if (hosts) assertHost(hosts, headers.get('host'))
    if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') assertSite(options, headers)
    await next()
  }
}

function assertSite(options: OriginOptions, headers: Headers): void {
  const origin = headers.get('origin')
  if (origin !== null && trusts(options, origin)) return
  const site = headers.get('sec-fetch-site')
  // Browsers leave it out towards plain http in a network; then the origin has to be ours.
  const own = site === null ? origin === null || hostOf(origin) === headers.get('host') : undefined
  if (own ?? (site === 'same-origin' || site === 'none')) return
  throw new FacetError(
    'forbidden',
    'Pages of other sites may not use this server; serve the page from the same origin, ask from a server of yours, or have its origin allowed.',
  )
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function assertHost(hosts: ReadonlySet<string>, host: string | null): void {
  if (host === null || hosts.has(host.replace(/:\d*$/, '').toLowerCase())) return
  throw new FacetError(
    'forbidden',
    'This server does not answer to the name in the Host header; use its address, or have the name allowed.',
    { field: 'host', status: 421 },
  )
}

/** Answers preflight requests of the origins that are allowed. */
export function allowOrigins(options: OriginOptions): MiddlewareHandler {
  return cors({
    origin: (origin) => (trusts(options, origin) ? origin : null),
    allowMethods: ['GET', 'HEAD', 'POST'],
    exposeHeaders: EXPOSED,
    maxAge: DAY_SECONDS,
  })
}
