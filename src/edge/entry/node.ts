/** Serves a handler on Node's HTTP server: listening, addresses, and closing without cutting answers off. */
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { FacetError } from '../../errors.ts'
import { DEADLINE_MS, HOSTNAME, PORT, type Served, type ServeOptions, toAddress } from './served.ts'

export type { Served, ServeOptions } from './served.ts'

/** How long clients may hold a connection without using it; there are only so many. */
export interface Patience {
  /** Until a request's headers are complete. Default 10,000. */
  readonly headersMs?: number
  /** Until its body is. Default 60,000. */
  readonly requestMs?: number
  /** Between two requests. Default 5,000. */
  readonly idleMs?: number
  /** While an answer waits to be read and not a byte of it is taken. Default 60,000. */
  readonly stalledMs?: number
  /** Connections at the same time. Default: as many as the system allows. */
  readonly connections?: number
}

export interface NodeServeOptions extends ServeOptions {
  readonly patience?: Patience
}

/** How often Node looks for requests that are late. */
const CHECK_MS = 1_000
/** The system asks whether a silent peer is still there after this long. */
const PROBE_MS = 30_000

/** @throws FacetError io_failed when the port or the address cannot be had */
export async function serve(options: NodeServeOptions): Promise<Served> {
  const { app, port = PORT, hostname = HOSTNAME, patience = {} } = options
  // The library need not replace the caller's global Request and Response.
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    serverOptions: toServerOptions(patience),
  }) as Server
  limitConnections(server, patience)
  server.on('request', headersWithContent)
  await listen(server, port, hostname)
  const address = server.address() as AddressInfo
  const closed = new Promise<void>((resolve) => server.once('close', resolve))
  let closing = false
  // A kept-alive connection whose answer ends while closing would hold the server up until it times out.
  server.on('request', (_, response) =>
    response.once('close', () => setImmediate(() => closing && server.closeIdleConnections())),
  )
  return {
    ...toAddress(address.address, address.port),
    async close(deadlineMs = DEADLINE_MS) {
      closing = true
      server.close()
      const timer = setTimeout(() => server.closeAllConnections(), deadlineMs)
      await closed
      clearTimeout(timer)
    },
  }
}

function toServerOptions({
  headersMs = 10_000,
  requestMs = 60_000,
  idleMs = 5_000,
}: Patience): ServerOptions {
  return {
    headersTimeout: headersMs,
    requestTimeout: Math.max(requestMs, headersMs),
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: Math.min(CHECK_MS, headersMs),
    keepAlive: true,
    keepAliveInitialDelay: PROBE_MS,
  }
}

function limitConnections(server: Server, { stalledMs = 60_000, connections }: Patience): void {
  if (connections !== undefined) server.maxConnections = connections
  const answering = new Set<Socket>()
  server.on('request', ({ socket }, response) => {
    answering.add(socket)
    response.once('close', () => answering.delete(socket))
  })
  // Silence is no fault while an answer is being computed, but it is when bytes wait to be taken.
  server.setTimeout(stalledMs, (socket: Socket) => {
    if (!answering.has(socket) || socket.writableLength > 0) socket.destroy()
  })
}

/** The adaptor sends the headers of a stream by themselves: let them wait for what follows at once. */
function headersWithContent(_: IncomingMessage, response: ServerResponse): void {
  const flush = response.flushHeaders.bind(response)
  response.flushHeaders = () => {
    const { socket } = response
    socket?.cork()
    flush()
    setImmediate(() => socket?.uncork())
  }
}

function listen(server: Server, port: number, hostname: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(toListenError(error, port, hostname)))
    server.listen(port, hostname, resolve)
  })
}

function toListenError(cause: NodeJS.ErrnoException, port: number, hostname: string): FacetError {
  const sentences: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} is already in use; stop the program that holds it, or choose another with --port or PORT.`,
    EACCES: `Port ${port} needs permissions this program does not have; choose one above 1023 with --port or PORT.`,
    EADDRNOTAVAIL: `${hostname} is not an address of this machine; choose 127.0.0.1 or 0.0.0.0 with --host or FACET_HOST.`,
    ENOTFOUND: `The host name ${hostname} is not known; choose 127.0.0.1 or 0.0.0.0 with --host or FACET_HOST.`,
  }
  const sentence = sentences[cause.code ?? ''] ?? `Cannot listen on ${hostname}:${port}: ${cause.message}.`
  return new FacetError('io_failed', sentence, { cause })
}
