/** `gemfacet/gateway`: a Hono middleware that mounts any Backend as an OpenAI endpoint, in workerd too. */
import type { MiddlewareHandler } from 'hono'
import { createEdge, type EdgeOptions } from '../edge/app.ts'
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'

export interface GatewayOptions extends Omit<EdgeOptions, 'backends' | 'page'> {
  /** Where the endpoint is mounted. Default `/v1`. */
  readonly basePath?: string
}

/**
 * Answers `chat/completions`, `completions` and `models` below its base path, and leaves every other
 * request to what comes next: `app.use(gateway(router))`.
 *
 * @param backends the router, or several backends, told apart by their models' ids
 * @throws FacetError invalid_request, with the option at fault
 */
export function gateway(
  backends: Backend | readonly Backend[],
  { basePath = '/v1', ...options }: GatewayOptions = {},
): MiddlewareHandler {
  if (!/^(\/[\w.~-]+)+$/.test(basePath)) {
    throw new FacetError(
      'invalid_request',
      'basePath must be a path such as /v1 or /ai/v1, without a slash at the end.',
      {
        field: 'basePath',
      },
    )
  }
  const edge = createEdge({ ...options, backends: 'chat' in backends ? [backends] : backends, page: false })
  return async (c, next) => {
    const url = new URL(c.req.url)
    if (!url.pathname.startsWith(`${basePath}/`)) return next()
    if (basePath === '/v1') return edge.fetch(c.req.raw, c.env)
    url.pathname = `/v1${url.pathname.slice(basePath.length)}`
    return edge.fetch(new Request(url, c.req.raw), c.env)
  }
}
