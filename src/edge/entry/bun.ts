/** Serves a handler on Bun's own HTTP server. */
import { FacetError } from '../../errors.ts'
import type { Served, ServeOptions } from './served.ts'
import { DEADLINE_MS, HOSTNAME, PORT, toAddress } from './served.ts'

/** What is used of Bun's global. */
interface BunRuntime {
  serve(options: {
    port: number
    hostname: string
    /** Seconds; 0: never. */
    idleTimeout: number
    fetch: (request: Request) => Response | Promise<Response>
  }): {
    readonly hostname: string
    readonly port: number
    stop(cut: boolean): Promise<void>
  }
}

/** @throws FacetError unsupported elsewhere than on Bun; io_failed when the port or the address cannot be had */
export async function serve({ app, port = PORT, hostname = HOSTNAME }: ServeOptions): Promise<Served> {
  const { Bun: runtime } = globalThis as { Bun?: BunRuntime }
  if (!runtime) throw new FacetError('unsupported', 'This is not Bun; use gemfacet/edge/node.')
  let server: ReturnType<BunRuntime['serve']>
  try {
    // Bun would cut an answer whose next token takes ten seconds.
    server = runtime.serve({ port, hostname, idleTimeout: 0, fetch: (request) => app.fetch(request) })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FacetError('io_failed', `Cannot listen on ${hostname}:${port}: ${why}.`, { cause })
  }
  return {
    ...toAddress(server.hostname, server.port),
    async close(deadlineMs = DEADLINE_MS) {
      const timer = setTimeout(() => void server.stop(true), deadlineMs)
      await server.stop(false)
      clearTimeout(timer)
    },
  }
}
