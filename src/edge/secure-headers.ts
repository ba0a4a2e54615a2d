/** Headers that tell browsers what responses are not for: to be sniffed, framed, or read by other sites. */
import type { MiddlewareHandler } from 'hono'
import type { EdgeEnv } from './exchange.ts'

/** @param shared whether pages of other origins may read responses */
export function secureHeaders(shared: boolean): MiddlewareHandler<EdgeEnv> {
  const always = Object.entries({
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cross-origin-resource-policy': shared ? 'cross-origin' : 'same-origin',
  })
  return async (c, next) => {
    await next()
    const { headers } = c.res
    for (const [name, value] of always) if (!headers.has(name)) headers.set(name, value)
  }
}
