/** `gemfacet/edge`: the API with its chat page. */
import type { Hono } from 'hono'
import { createApi, type EdgeOptions } from './api.ts'
import { toPageFile } from './page-file.ts'

export type { EdgeOptions } from './api.ts'
export { Drain } from './drain.ts'
export type { ErrorBody } from './error-response.ts'
export type { Stats } from './figures.ts'
export type { Readiness, ReadyCheck } from './health.ts'
export { type ApiKey, type KeySource, toApiKeys } from './keys.ts'
export type { LogEntry } from './log.ts'
export { type Bucket, type Level, MemoryRates, type RateStore } from './rates.ts'
export type { SignInOptions } from './sign-ins.ts'

/** A Hono app; mount it in another, or hand its `fetch` to a server. */
export function createEdge(options: EdgeOptions): Hono {
  return createApi(options, options.page === false ? undefined : toPageFile)
}
