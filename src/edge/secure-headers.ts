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

/**
 * For an HTML page with inline script and style: nothing is loaded from anywhere else, nobody frames it, and
 * it is isolated from other origins, without which browsers have no shared memory and so no threads.
 *
 * @param hashes of the script and the style, as CSP writes them
 */
export function pageHeaders(hashes: {
  readonly script: string
  readonly style: string
}): Record<string, string> {
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy':
      `default-src 'none'; connect-src 'self'; img-src data:; worker-src 'self'; ` +
      `script-src '${hashes.script}' 'self' 'wasm-unsafe-eval'; style-src '${hashes.style}'; ` +
      `base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    'cache-control': 'no-cache',
  }
}
