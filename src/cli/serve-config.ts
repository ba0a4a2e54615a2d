/** `facet serve --config`: the router of facet.config.ts behind an OpenAI-compatible API. */
import { loadConfig } from '../config/node.ts'
import { createEdge, Drain } from '../edge/app.ts'
import { serve } from '../edge/entry/node.ts'
import { toServed } from '../gateway/gateway.ts'
import { toEdgeOptions, toPatience } from './edge-options.ts'
import { FLUSH_MS, onStop, type ServeFlags, welcome } from './serve.ts'

/** @throws FacetError that points at the line of the configuration, and as `serve` does */
export async function runConfig(file: string | undefined, options: ServeFlags): Promise<void> {
  const { port, host } = options
  const loopback = /^(127\.|localhost$|::1$)/.test(host)
  const edge = await toEdgeOptions(options, loopback)
  const loaded = await loadConfig(file)
  try {
    const router = await loaded.router()
    const drain = new Drain()
    const app = createEdge({ ...edge, backends: toServed(router), drain })
    const server = await serve({ app, port, hostname: host, patience: toPatience(options) })
    const stopped = onStop(async () => {
      await drain.start(options.drainMs)
      await server.close(FLUSH_MS)
    })
    process.stdout.write(welcome(server, router.model, { keyed: edge.keys !== undefined, loopback }))
    await stopped
  } finally {
    await loaded.close()
  }
}
