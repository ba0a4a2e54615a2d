/** A Worker that mounts a router of two servers, as somebody would write it: one of them needs Google's sign-in. */
import { Hono } from 'hono'
import { createClient } from '../../src/client/http.ts'
import { gateway } from '../../src/gateway/gateway.ts'
import { googleTokens } from '../../src/google/google.ts'
import { router } from '../../src/route/router.ts'
import { createVertex } from '../../src/vertex/vertex.ts'

interface Env {
  readonly EDGE_URL: string
  readonly VERTEX_URL: string
  readonly GOOGLE_CREDENTIALS: string
}

let mounted: Hono<{ Bindings: Env }> | undefined

function appOf(env: Env): Hono<{ Bindings: Env }> {
  const edge = createClient({ baseURL: env.EDGE_URL, name: 'edge', model: 'gemma-2b-it' })
  const vertex = createVertex({
    name: 'vertex',
    model: 'gemma-7b-it',
    endpoint: { name: 'projects/facet-test/locations/europe-west4/endpoints/7' },
    baseURL: env.VERTEX_URL,
    auth: googleTokens(env.GOOGLE_CREDENTIALS),
  })
  const app = new Hono<{ Bindings: Env }>()
  app.use(gateway(router([edge, vertex])))
  app.use(gateway(vertex, { basePath: '/ai/v1' }))
  app.get('/', (c) => c.text('my own page'))
  return app
}

const worker: { fetch(request: Request, env: Env): Response | Promise<Response> } = {
  fetch(request, env) {
    mounted ??= appOf(env)
    return mounted.fetch(request, env)
  },
}
export default worker
