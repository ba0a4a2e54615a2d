/** Serves a handler on Deno's own HTTP server. */
import { FacetError } from '../../errors.ts'
import type { Served, ServeOptions } from './served.ts'
import { DEADLINE_MS, HOSTNAME, PORT, toAddress } from './served.ts'

/** What is used of Deno's global. */
interface DenoRuntime {
  serve(
    options: { port: number; hostname: string; onListen: () => void },
    handle: (request: Request, info: { readonly completed: Promise<void> }) => Response | Promise<Response>,
  ): {
    readonly addr: { readonly hostname: string; readonly port: number }
    shutdown(): Promise<void>
  }
}

/** @throws FacetError unsupported elsewhere than on Deno; io_failed when the port or the address cannot be had */
export async function serve({ app, port = PORT, hostname = HOSTNAME }: ServeOptions): Promise<Served> {
  const { Deno: runtime } = globalThis as { Deno?: DenoRuntime }
  if (!runtime) throw new FacetError('unsupported', 'This is not Deno; use gemfacet/edge/node.')
  const running = new Set<AbortController>()
  let server: ReturnType<DenoRuntime['serve']>
  try {
    server = runtime.serve({ port, hostname, onListen: () => {} }, (request, { completed }) => {
      // Deno's own signal also fires after every answer that was delivered, and warns of it.
      const gone = new AbortController()
      running.add(gone)
      completed.catch(() => gone.abort()).finally(() => running.delete(gone))
      const { url, method, headers, body } = request
      const init = { method, headers, body, signal: gone.signal, ...(body && { duplex: 'half' as const }) }
      return app.fetch(new Request(url, init))
    })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FacetError('io_failed', `Cannot listen on ${hostname}:${port}: ${why}.`, { cause })
  }
  const { addr } = server
  let closed: Promise<void> | undefined
  return {
    ...toAddress(addr.hostname, addr.port),
    async close(deadlineMs = DEADLINE_MS) {
      const timer = setTimeout(() => {
        for (const gone of running) gone.abort()
      }, deadlineMs)
      closed ??= server.shutdown()
      await closed
      clearTimeout(timer)
    },
  }
}
