/** Serves a handler on Deno's own HTTP server. */
import { FacetError } from '../../errors.ts'
import type { Served, ServeOptions } from './served.ts'
import { DEADLINE_MS, HOSTNAME, PORT, toAddress } from './served.ts'

/** What is used of Deno's global. */
interface DenoRuntime {
  serve(
    options: { port: number; hostname: string; signal: AbortSignal; onListen: () => void },
    handle: (request: Request, info: { readonly completed: Promise<void> }) => Response | Promise<Response>,
  ): {
    readonly addr: { readonly hostname: string; readonly port: number }
    readonly finished: Promise<void>
    shutdown(): Promise<void>
  }
}

/** @throws FacetError unsupported elsewhere than on Deno; io_failed when the port or the address cannot be had */
export async function serve({ app, port = PORT, hostname = HOSTNAME }: ServeOptions): Promise<Served> {
  const { Deno: runtime } = globalThis as { Deno?: DenoRuntime }
  if (!runtime) throw new FacetError('unsupported', 'This is not Deno; use gemfacet/edge/node.')
  const cut = new AbortController()
  const options = { port, hostname, signal: cut.signal, onListen: () => {} }
  let server: ReturnType<DenoRuntime['serve']>
  try {
    server = runtime.serve(options, (request, { completed }) => {
      // Deno's own signal also fires after every answer that was delivered, and warns of it.
      const gone = new AbortController()
      completed.catch(() => gone.abort())
      const { url, method, headers, body } = request
      const init = { method, headers, body, signal: gone.signal, ...(body && { duplex: 'half' as const }) }
      return app.fetch(new Request(url, init))
    })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FacetError('io_failed', `Cannot listen on ${hostname}:${port}: ${why}.`, { cause })
  }
  const { addr, finished } = server
  return {
    ...toAddress(addr.hostname, addr.port),
    async close(deadlineMs = DEADLINE_MS) {
      const timer = setTimeout(() => cut.abort(), deadlineMs)
      await Promise.race([server.shutdown(), finished])
      clearTimeout(timer)
    },
  }
}
