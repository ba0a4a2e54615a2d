/**
 * A handler as a Netlify Function. Memory: 1,024 MB unless configured; an answer may take 60 seconds. A Gemma
 * 2B in 4 bits does not fit: route to an upstream, or serve a smaller model.
 */

import type { Hono } from 'hono'
import { handle as toHandler } from 'hono/netlify'

/** `export default handle(createEdge(...))`, with `export const config = { path: '/*' }` beside it. */
export const handle: (app: Hono) => (request: Request) => Response | Promise<Response> = (app) => {
  const handler = toHandler(app)
  return (request) => handler(request, {})
}

/** What a model may take by default beside Node.js, for `memoryBytes` of loadEngine. */
export const memoryLimitBytes: number = 1_024_000_000 - 100_000_000
