/**
 * `gemfacet/edge/browser`: a service worker that answers `/v1/*` itself, without any server. The browser may
 * end it when it is idle: the next request starts it anew, and the model is loaded from the browser's storage.
 * Memory: what the browser gives a tab. One thread computes, since service workers have no others.
 */
import { isBrowserModelKept, loadBrowserModel, toAbsolute } from '../../engine/browser-model.ts'
import { loadKernelEngine } from '../../engine/kernel-engine.ts'
import type { LoadOptions } from '../../engine/load.ts'
import { FacetError } from '../../errors.ts'
import { formatBytes } from '../../gemma/memory-plan.ts'
import { createEdge, type EdgeOptions } from '../app.ts'
import { toErrorResponse } from '../error-response.ts'

export interface ServiceWorkerOptions {
  /** Address of the model directory, relative to the script. */
  readonly model: string | URL
  /** As of loadEngine. `slots` is 1 unless given. */
  readonly engine?: Omit<LoadOptions, 'graph' | 'threads'>
  /** As of createEdge; `backends` come after the model, which answers requests that name none. */
  readonly edge?: Partial<EdgeOptions>
}

/** What is used of the events that a service worker gets. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request
  respondWith(response: Promise<Response>): void
}
interface ServiceWorkerScope {
  readonly registration: { readonly scope: string }
  readonly clients: { claim(): Promise<void> }
  skipWaiting(): Promise<void>
  addEventListener(type: 'install' | 'activate', listen: (event: ExtendableEvent) => void): void
  addEventListener(type: 'fetch', listen: (event: FetchEvent) => void): void
}

type App = ReturnType<typeof createEdge>

/**
 * Call it once, while the service worker's script first runs. Requests to `v1/` below the worker's scope
 * are answered by the model, all others go to the network as ever. While the model is fetched for the first
 * time requests get 503 and Retry-After; later ones wait until it has been loaded.
 */
export function serveInBrowser(options: ServiceWorkerOptions): void {
  const scope = globalThis as unknown as ServiceWorkerScope
  const edge = openEdge(options)
  scope.addEventListener('install', (event) => event.waitUntil(scope.skipWaiting()))
  scope.addEventListener('activate', (event) => {
    event.waitUntil(scope.clients.claim())
    // The answer to whether it could be loaded comes with the first request.
    event.waitUntil(edge.load().catch(() => {}))
  })
  scope.addEventListener('fetch', (event) => {
    const root = new URL(scope.registration.scope)
    const { origin, pathname } = new URL(event.request.url)
    if (origin !== root.origin || !pathname.startsWith(`${root.pathname}v1/`)) return
    const { answer, done } = edge.answer(toRooted(event.request, root.pathname))
    event.respondWith(answer)
    event.waitUntil(done)
  })
}

interface LazyEdge {
  load(): Promise<App>
  /** `done` resolves when the whole of the answer has been read, or nobody reads it any more. */
  answer(request: Request): { answer: Promise<Response>; done: Promise<void> }
}

function openEdge({ model, engine = {}, edge = {} }: ServiceWorkerOptions): LazyEdge {
  const address = toAbsolute(model)
  let loading: Promise<App> | undefined
  /** When it is known whether the model has to be fetched. */
  let looked: Promise<void> | undefined
  let progress: FacetError | undefined

  const look = async (): Promise<void> => {
    if (!(await isBrowserModelKept(address))) progress = downloading(0, 0)
  }
  const open = async (): Promise<App> => {
    const tell: LoadOptions['onProgress'] = (told) => {
      if (told.stage === 'download') progress = downloading(told.loadedBytes, told.totalBytes)
      engine.onProgress?.(told)
    }
    const backend = await loadBrowserModel(address, { onProgress: tell }, (files, onProgress) =>
      loadKernelEngine({ slots: 1, ...engine, files, onProgress }),
    )
    return createEdge({ page: false, ...edge, backends: [backend, ...(edge.backends ?? [])] })
  }
  const load = (): Promise<App> => {
    if (loading) return loading
    looked = look()
    loading = looked
      .then(open)
      .catch((error) => {
        loading = undefined
        throw error
      })
      .finally(() => {
        progress = undefined
      })
    return loading
  }
  const respond = async (request: Request): Promise<Response> => {
    try {
      const loaded = load()
      loaded.catch(() => {}) // the next request tells
      await looked
      if (progress) throw progress
      return await (await loaded).fetch(request)
    } catch (error) {
      return toErrorResponse(error, edge.report ?? console.error)
    }
  }
  return {
    load,
    answer: (request) => {
      const { promise: done, resolve } = Promise.withResolvers<void>()
      return { answer: respond(request).then((response) => watched(response, resolve)), done }
    },
  }
}

function downloading(loadedBytes: number, totalBytes: number): FacetError {
  const far = totalBytes === 0 ? '' : ` (${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)})`
  return new FacetError('unavailable', `The model is still being fetched${far}; try again soon.`, {
    retryAfterMs: 1000,
  })
}

/** The same response, whose body tells when it has ended or is no longer wanted. */
function watched(response: Response, ended: () => void): Response {
  const reader = response.body?.getReader()
  if (!reader) {
    ended()
    return response
  }
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const { done, value } = await reader.read()
        if (!done) return controller.enqueue(value)
        controller.close()
      } catch (error) {
        controller.error(error)
      }
      ended()
    },
    cancel: async (reason) => {
      ended()
      await reader.cancel(reason)
    },
  })
  return new Response(body, response)
}

/** The request as if the worker's scope were the root of the site. */
function toRooted(request: Request, root: string): Request {
  if (root === '/') return request
  const url = new URL(request.url)
  url.pathname = url.pathname.slice(root.length - 1)
  const { method, headers, body, signal } = request
  return new Request(url, { method, headers, body, signal, ...(body && { duplex: 'half' as const }) })
}
