/** `gemfacet/edge`: an OpenAI-compatible API in front of Backends, for any runtime that has fetch. */
import { Hono } from 'hono'
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'
import { type AnswerOptions, answer } from './answer.ts'
import { readJson } from './body.ts'
import type { Call } from './call.ts'
import { toChatCall } from './chat-request.ts'
import { chatWriter } from './chat-response.ts'
import { toCompletionCall } from './completion-request.ts'
import { completionWriter } from './completion-response.ts'
import { type Report, toErrorResponse } from './error-response.ts'
import { assertReady, type ReadyCheck, toReadyResponse } from './health.ts'
import { findBackend, toModel, toModelList } from './models.ts'
import { html, scriptHash, styleHash } from './page/bundle.gen.ts'

export type { ErrorBody } from './error-response.ts'
export type { Readiness, ReadyCheck } from './health.ts'

export interface EdgeOptions {
  /** What answers; the first one when a request names no model. At least one. */
  readonly backends: readonly Backend[]
  /** Until it says yes, `/readyz` and requests for an answer get 503 with its reason. Default: ready. */
  readonly ready?: ReadyCheck
  readonly limits?: {
    /** Largest request body. Default 1 MiB: a long context many times over. */
    readonly bodyBytes?: number
  }
  /** Serve the chat page at `/`. Default true. */
  readonly page?: boolean
  /** Told of bugs, which clients see only as a 500. Default: console.error. */
  readonly report?: Report
}

const DEFAULT_BODY_BYTES = 1024 * 1024

const PAGE_HEADERS = {
  'content-security-policy':
    `default-src 'none'; connect-src 'self'; img-src data:; script-src '${scriptHash}'; ` +
    `style-src '${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/**
 * A page of another site may send a simple POST anywhere, this machine's loopback included, and make it
 * compute, though it may not read the answer. Browsers say where a request comes from; nothing else does.
 */
function assertOwnSite({ headers }: Request): void {
  const site = headers.get('sec-fetch-site')
  if (site === null || site === 'same-origin' || site === 'none') return
  throw new FacetError(
    'forbidden',
    'Pages of other sites may not use this server; serve the page from the same origin, or ask from a server of yours.',
  )
}

/** A Hono app; mount it in another, or hand its `fetch` to a server. */
export function createEdge(options: EdgeOptions): Hono {
  const { backends, ready, limits = {}, page = true, report = (error) => console.error(error) } = options
  if (backends.length === 0) {
    throw new FacetError('invalid_request', 'backends is empty; give createEdge at least one Backend.', {
      field: 'backends',
    })
  }
  const app = new Hono()

  const post = <C extends Call>(
    path: string,
    prefix: string,
    toCall: (json: unknown) => C,
    writerFor: (call: C) => AnswerOptions['writer'],
  ): void => {
    app.post(path, async ({ req: { raw } }) => {
      assertOwnSite(raw)
      assertReady(ready)
      const call = toCall(await readJson(raw, limits.bodyBytes ?? DEFAULT_BODY_BYTES))
      const backend = findBackend(backends, call.model)
      return answer(call, { backend, prefix, writer: writerFor(call), signal: raw.signal, report })
    })
    allow(path, 'POST')
  }
  const get = (path: string, handle: (parameters: Record<string, string>) => Response): void => {
    app.get(path, (c) => handle(c.req.param()))
    allow(path, 'GET, HEAD')
  }
  const allow = (path: string, methods: string): void => {
    app.all(path, ({ req }) => {
      const error = new FacetError(
        'method_not_allowed',
        `${req.method} is not allowed for ${req.path}; use ${methods.split(',')[0]}.`,
      )
      const response = toErrorResponse(error, report)
      response.headers.set('allow', methods)
      return response
    })
  }

  post('/v1/chat/completions', 'chatcmpl', toChatCall, () => chatWriter)
  post('/v1/completions', 'cmpl', toCompletionCall, ({ echoes }) => {
    return (head, settings) => completionWriter(head, settings, echoes)
  })
  get('/v1/models', () => Response.json(toModelList(backends)))
  // Ids may hold slashes: google/gemma-2b-it.
  get('/v1/models/:id{.+}', ({ id }) => Response.json(toModel(findBackend(backends, id))))
  get('/healthz', () => Response.json({ status: 'ok' }))
  get('/readyz', () => toReadyResponse(ready, report))
  if (page)
    get(
      '/',
      () => new Response(html, { headers: { ...PAGE_HEADERS, 'content-type': 'text/html; charset=utf-8' } }),
    )

  app.notFound(({ req }) =>
    toErrorResponse(
      new FacetError(
        'not_found',
        `There is no ${req.path.slice(0, 200)} here; this server has /v1/chat/completions, /v1/completions, /v1/models, /healthz and /readyz.`,
      ),
      report,
    ),
  )
  app.onError((error) => toErrorResponse(error, report))
  return app
}
