/** An API server of Kubernetes 1.36 in memory, over TLS: as strict as the real one where the tests look. */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { JsonObject } from '../../../../deploy/target.ts'
import { answer } from './answer.ts'
import type { Call, Reply } from './call.ts'
import { proxied, type Route } from './proxy.ts'
import { Refusal } from './status.ts'
import { Store, typeOf } from './store.ts'
import { type Watching, watch } from './watching.ts'
import { updated } from './write.ts'

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../fixtures/kubernetes/${name}`, import.meta.url), 'utf8')

/** Of the server, made for the tests, for localhost alone. */
export const CERTIFICATE: string = fixture('certificate.pem')

/** Something that goes wrong for the first call that it fits, or for each. */
export interface Fault {
  readonly fits: (call: Call) => boolean
  readonly each?: true
  /**
   * hang: never answered. drop: the connection is cut. lose: the same once it has been done. silent: a watch
   * that says nothing. Else what is answered.
   */
  readonly does: 'hang' | 'drop' | 'lose' | 'silent' | Reply
}

export interface FakeApi {
  readonly url: string
  readonly store: Store
  /** `METHOD path?query` of every call so far. */
  readonly calls: Call[]
  readonly faults: Fault[]
  /** Warnings for writes of a kind, as PodSecurity gives them. */
  readonly warnings: Map<string, string>
  /** The log of a container by `pod/container`. */
  readonly logs: Map<string, () => string>
  /** Users by token; those outside `admins` may do nothing. */
  readonly users: Map<string, string>
  /** Where Services and pods lead to; nowhere, until a test says so. */
  route: Route
  /** Writes as somebody else would, for example a controller that sets a status. */
  put(object: JsonObject, manager?: string): void
  endWatches(): void
  close(): Promise<void>
}

export const ADMIN_TOKEN = 'admin-token'

export async function startApi(): Promise<FakeApi> {
  const store = new Store()
  const calls: Call[] = []
  const faults: Fault[] = []
  const watches = new Set<Watching>()
  const open = new Set<ServerResponse>()
  const state = {
    store,
    warnings: new Map<string, string>(),
    logs: new Map<string, () => string>(),
    users: new Map([[ADMIN_TOKEN, 'admin']]),
    route: (() => undefined) as Route,
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = await toCall(request)
    calls.push(call)
    const index = faults.findIndex(({ fits }) => fits(call))
    const fault = faults[index]
    if (fault && !fault.each) faults.splice(index, 1)
    if (fault?.does === 'hang') return
    if (fault?.does === 'drop') {
      request.socket.destroy()
      return
    }
    const silent = fault?.does === 'silent'
    if (typeof fault?.does === 'object') return reply(response, fault.does)
    try {
      const answered = answer(state, call)
      if ('watch' in answered) {
        const watching = watch(state.store, answered, response, silent)
        watches.add(watching)
        response.on('close', () => {
          watching.end()
          watches.delete(watching)
        })
        return
      }
      if (fault?.does === 'lose') request.socket.destroy()
      else if ('rest' in answered) proxied(state, answered, request, call.text, response)
      else reply(response, answered)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      reply(response, { status: error.code, body: error.body })
    }
  }

  const server = createServer({ cert: CERTIFICATE, key: fixture('key.pem') }, (request, response) => {
    open.add(response)
    response.on('close', () => open.delete(response))
    serve(request, response).catch((error: unknown) => {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      reply(response, {
        status: 500,
        body: { kind: 'Status', message: `the fake itself failed: ${message}` },
      })
    })
  })
  // As with a real one, the client is the first to close a connection that idles.
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    ...state,
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    faults,
    get route() {
      return state.route
    },
    set route(route) {
      state.route = route
    },
    put(object, manager = 'somebody') {
      const type = typeOf(String(object.apiVersion), String(object.kind))
      if (!type) throw new Error(`no ${String(object.kind)} here`)
      const metadata = object.metadata as JsonObject
      const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : undefined
      const live = store.get(type, namespace, String(metadata.name))
      const old = (live?.object.metadata ?? {
        uid: store.uid(),
        creationTimestamp: store.now(),
      }) as JsonObject
      const next = { ...live?.object, ...object, metadata: { ...old, ...metadata } }
      store.put(type, updated(type, live, next, { manager, time: store.now() }))
    },
    endWatches() {
      for (const watching of watches) watching.end()
    },
    async close() {
      for (const response of open) response.destroy()
      const ended = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await ended
    },
  }
}

async function toCall(request: IncomingMessage): Promise<Call> {
  const url = new URL(request.url ?? '/', 'https://localhost')
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const header = (name: string): string => String(request.headers[name] ?? '')
  return {
    method: request.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    contentType: header('content-type').split(';')[0]!,
    token: header('authorization').replace(/^Bearer /, ''),
    agent: header('user-agent').split('/')[0]!,
    text: Buffer.concat(chunks).toString('utf8'),
  }
}

function reply(response: ServerResponse, { status, body, warnings = [], headers = {} }: Reply): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  response.setHeader(
    'content-type',
    typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json',
  )
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (warnings.length > 0)
    response.setHeader(
      'warning',
      warnings.map((one) => `299 - ${JSON.stringify(one)}`),
    )
  response.writeHead(status)
  response.end(text)
}
