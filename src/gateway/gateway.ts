/** `gemfacet/gateway`: a Hono middleware that mounts any Backend as an OpenAI endpoint, in workerd too. */
import type { MiddlewareHandler } from 'hono'
import { createApi, type EdgeOptions } from '../edge/api.ts'
import { FacetError } from '../errors.ts'
import { override } from '../guard/layer.ts'
import { type Router, router } from '../route/router.ts'
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
  const api = createApi({ ...options, backends: toServed(backends) })
  return async (c, next) => {
    const url = new URL(c.req.url)
    if (!url.pathname.startsWith(`${basePath}/`)) return next()
    if (basePath === '/v1') return api.fetch(c.req.raw, c.env)
    url.pathname = `/v1${url.pathname.slice(basePath.length)}`
    return api.fetch(new Request(url, c.req.raw), c.env)
  }
}

/**
 * What an endpoint lists: each of several backends, and every model behind a router. Asking for the router's
 * first model, or for none, leaves the choice to its policy; asking for another one holds it to that model.
 */
export function toServed(backends: Backend | Router | readonly Backend[]): readonly Backend[] {
  if (!('chat' in backends)) return backends
  if (!('health' in backends)) return [backends]
  const pool = [...backends.health().keys()]
  const models = new Map(pool.map(({ model }) => [model.id, model]))
  models.delete(backends.model.id)
  const held = [...models.values()].map((model) => {
    // The router's own would be those of its first model.
    const { score, embed, tokenize, detokenize } = router(pool.filter((one) => one.model.id === model.id))
    return override(backends, {
      model,
      chat: (request, options) => backends.chat({ ...request, model: model.id }, options),
      score,
      embed,
      tokenize,
      detokenize,
    })
  })
  return [backends, ...held]
}
