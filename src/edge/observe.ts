/** The outermost middleware: every request has an id, is counted, and is told of in the log when it is over. */
import type { MiddlewareHandler } from 'hono'
import { toFacetError } from '../errors.ts'
import { type EdgeEnv, Exchange } from './exchange.ts'
import type { Figures } from './figures.ts'
import { type Log, toLogEntry } from './log.ts'
import { parentOf, traceIdOf } from './tracing.ts'

export interface ObserveOptions {
  readonly figures: Figures
  readonly log: Log | undefined
  /** Whether logs and spans may hold what was asked and answered. */
  readonly prompts: boolean
  /** Milliseconds, only ever compared. */
  readonly now: () => number
}

/** Probes and scrapes come every few seconds and say nothing. */
const QUIET = /\/(healthz|readyz|metrics|stats)$/

export function observe({ figures, log, prompts, now }: ObserveOptions): MiddlewareHandler<EdgeEnv> {
  return async (c, next) => {
    const { headers } = c.req.raw
    const { method, path } = c.req
    const exchange = new Exchange({ id: requestId(headers), method, path, now, keepsContent: prompts })
    exchange.parent = parentOf(headers)
    exchange.traceId = traceIdOf(exchange.parent)
    c.set('exchange', exchange)
    exchange.onSettled((outcome) => {
      if (QUIET.test(path) && outcome === 'ok') return
      figures.record(exchange, outcome)
      log?.(toLogEntry(exchange, outcome, Date.now()))
    })
    await next()
    const { res, error } = c
    exchange.status = res.status
    res.headers.set('x-request-id', exchange.id)
    for (const [name, value] of exchange.headers) res.headers.set(name, value)
    if (error) exchange.settle(toFacetError(error))
    else if (!exchange.streams) exchange.settle()
  }
}

/** The caller's, where it can stand in a log. */
function requestId(headers: Headers): string {
  const given = headers.get('x-request-id') ?? ''
  return /^[\w.:/+=-]{1,128}$/.test(given) ? given : crypto.randomUUID()
}
