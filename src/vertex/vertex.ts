/** `gemfacet/vertex`: a Backend for a model deployed on Vertex AI, with fetch alone. */
import type { Clock } from '../client/deadline.ts'
import { clientFrom } from '../client/http.ts'
import { settingsFrom } from '../client/options.ts'
import { FacetError } from '../errors.ts'
import type { Backend, Timeouts, TokenSource } from '../types.ts'
import { addressOf, type VertexEndpoint, type VertexProtocol } from './endpoint.ts'
import { generateFetch, predictFetch, wholeFetch } from './translate.ts'

export type { VertexEndpoint, VertexProtocol } from './endpoint.ts'

type Fetch = typeof globalThis.fetch

export interface VertexOptions {
  readonly endpoint: VertexEndpoint
  /** From `gemfacet/google` or `gemfacet/google/node`. */
  readonly auth: TokenSource
  /** Default: chat. */
  readonly protocol?: VertexProtocol
  /** False where the container cannot stream (raw and generate). Default true. */
  readonly stream?: boolean
  /** The name under which the container serves the model. Default: empty, which means the only one there is. */
  readonly model?: string
  /** What errors call it. Default: the endpoint's host. */
  readonly name?: string
  /** The project that is billed, where the signed-in user's own would be taken. */
  readonly quotaProject?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly timeouts?: Partial<Timeouts>
  /** Scheme and host, where they are not Google's: Private Service Connect, a proxy. */
  readonly baseURL?: string
  readonly fetch?: typeof globalThis.fetch
  readonly clock?: Clock
}

/**
 * @throws FacetError invalid_request, with the option at fault
 */
export function createVertex(options: VertexOptions): Backend {
  const { endpoint, protocol = 'chat', stream = true, model, quotaProject, baseURL, ...rest } = options
  if (!stream && protocol !== 'raw' && protocol !== 'generate') {
    throw new FacetError('invalid_request', 'stream can be false only with protocol raw or generate.', {
      field: 'stream',
    })
  }
  const address = addressOf(endpoint, protocol, stream, baseURL)
  const settings = settingsFrom({
    ...rest,
    ...(model && { model }),
    headers: { ...rest.headers, ...(quotaProject !== undefined && { 'x-goog-user-project': quotaProject }) },
    baseURL: address.urlOf('/chat/completions').href,
  })
  const bounded = withLimit(settings.fetch, address.limitBytes)
  const {
    name,
    model: spec,
    chat,
  } = clientFrom({
    ...settings,
    model: model ?? '',
    urlOf: address.urlOf,
    fetch: translating(bounded, protocol, stream),
  })
  return { name, model: spec, chat }
}

function translating(fetch: Fetch, protocol: VertexProtocol, stream: boolean): Fetch {
  if (protocol === 'generate') return generateFetch(fetch, stream)
  if (protocol === 'predict') return predictFetch(fetch)
  return stream ? fetch : wholeFetch(fetch)
}

/** Vertex cuts larger requests off without a word that helps. */
function withLimit(fetch: Fetch, limitBytes: number): Fetch {
  return async (input, init) => {
    const sizeBytes = new TextEncoder().encode(String(init?.body ?? '')).byteLength
    if (sizeBytes > limitBytes) {
      throw new FacetError(
        'request_too_large',
        `The request has ${sizeBytes} bytes, and this endpoint takes ${limitBytes}; send a shorter conversation.`,
      )
    }
    return fetch(input, init)
  }
}
