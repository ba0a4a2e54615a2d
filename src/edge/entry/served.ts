/** What serving a handler means, whatever runtime's HTTP server does it. */

export interface ServeOptions {
  /** What createEdge returns, or anything with its `fetch`. */
  readonly app: { readonly fetch: (request: Request) => Response | Promise<Response> }
  /** 0: any free port. Default 8787. */
  readonly port?: number
  /** Default 127.0.0.1: this machine only. `0.0.0.0` or `::`: every network it is in. */
  readonly hostname?: string
}

export interface Served {
  /** Where to reach it from this machine, without a slash at the end. */
  readonly url: string
  readonly port: number
  /**
   * Takes no new connections, lets running answers finish for `deadlineMs` (default 10,000), then cuts
   * what is left. Calling it again, sooner, moves the deadline up.
   */
  close(deadlineMs?: number): Promise<void>
}

export const PORT = 8787
export const HOSTNAME = '127.0.0.1'
export const DEADLINE_MS = 10_000

/** An address to type into a browser: the unspecified ones mean every address, this machine's included. */
export function toAddress(hostname: string, port: number): Pick<Served, 'url' | 'port'> {
  const host = hostname === '0.0.0.0' || hostname === '::' ? 'localhost' : hostname
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, port }
}
