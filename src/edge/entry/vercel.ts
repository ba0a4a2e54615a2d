/**
 * A handler as a Vercel Function on Node.js. Memory: 2 GB on Hobby, up to 4 GB on Pro and Enterprise; the
 * function with its files is at most 250 MB unzipped, unless large functions are turned on. A Gemma 2B in 4
 * bits fits neither default: route to an upstream, or serve a smaller model.
 */

import type { Hono } from 'hono'
import { handle as toHandler } from 'hono/vercel'

/** `const handler = handle(createEdge(...))`, then export it as `GET`, `POST` and `OPTIONS`. */
export const handle: (app: Hono) => (request: Request) => Response | Promise<Response> = toHandler

/** What a model may take on the Hobby plan beside Node.js, for `memoryBytes` of loadEngine. */
export const memoryLimitBytes: number = 2_000_000_000 - 100_000_000
