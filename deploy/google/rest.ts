/** Google's JSON APIs, for what has no light client: storage, registry, secrets and accounts. */
import { isObject } from '../../src/check.ts'
import { FacetError } from '../../src/errors.ts'
import type { TokenSource } from '../../src/types.ts'
import type { Clock } from '../waiting.ts'
import { persistent } from './persistent.ts'
import { codeOf, RestRefusal } from './refusal.ts'

export type Service = 'artifactregistry' | 'iam' | 'logging' | 'monitoring' | 'secretmanager' | 'storage'

export interface RestOptions {
  readonly tokens: TokenSource
  readonly fetch?: typeof globalThis.fetch
  readonly clock?: Clock
  /** Where a service answers instead of `https://SERVICE.googleapis.com`. */
  readonly origins?: Readonly<Partial<Record<Service, string>>>
}

export interface RestRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly query?: Readonly<Record<string, string>>
  readonly json?: object
  /** Instead of `json`, with its type. */
  readonly bytes?: { readonly type: string; readonly body: Uint8Array<ArrayBuffer> | Blob }
}

export type RestJson = Readonly<Record<string, unknown>>

export class Rest {
  readonly #options: RestOptions

  constructor(options: RestOptions) {
    this.#options = options
  }

  /**
   * @param what is done, for errors: `create bucket my-project-facet-gemma`
   * @throws FacetError with the cause
   */
  call(
    what: string,
    service: Service,
    path: string,
    signal: AbortSignal,
    request: RestRequest = {},
  ): Promise<RestJson> {
    const { clock } = this.#options
    const first = { refused: false }
    return persistent(what, () => this.#send(service, path, signal, request, first), {
      signal,
      ...(clock && { clock }),
    })
  }

  /** Undefined where there is no such thing. */
  async find(
    what: string,
    service: Service,
    path: string,
    signal: AbortSignal,
    query: Readonly<Record<string, string>> = {},
  ): Promise<RestJson | undefined> {
    return missingAs(undefined, () => this.call(what, service, path, signal, { query }))
  }

  /** POST of something new. Where an earlier try was not answered, it may be there by now. */
  async create(
    what: string,
    service: Service,
    path: string,
    signal: AbortSignal,
    request: Omit<RestRequest, 'method'>,
  ): Promise<void> {
    const { clock } = this.#options
    const once = async (again: boolean): Promise<void> => {
      try {
        await this.#send(service, path, signal, { ...request, method: 'POST' }, { refused: false })
      } catch (error) {
        if (!again || codeOf(error) !== 'ALREADY_EXISTS') throw error
      }
    }
    await persistent(what, once, { signal, ...(clock && { clock }) })
  }

  /** What is gone already is as it should be. */
  async remove(
    what: string,
    service: Service,
    path: string,
    signal: AbortSignal,
    query: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await missingAs({}, () => this.call(what, service, path, signal, { method: 'DELETE', query }))
  }

  async #send(
    service: Service,
    path: string,
    signal: AbortSignal,
    request: RestRequest,
    first: { refused: boolean },
  ): Promise<RestJson> {
    const { tokens, fetch = globalThis.fetch, origins = {} } = this.#options
    const { method = 'GET', query = {}, json, bytes } = request
    const url = new URL(path, origins[service] ?? `https://${service}.googleapis.com`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const token = await tokens.token(signal)
    const type = bytes?.type ?? (json && 'application/json')
    const body = bytes?.body ?? (json && JSON.stringify(json))
    const response = await fetch(url, {
      method,
      signal,
      redirect: 'error',
      headers: { authorization: `Bearer ${token}`, ...(type !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body }),
    }).catch((cause: unknown) => {
      if (signal.aborted) throw cause
      const problem = `NETWORK: ${url.host} cannot be reached; check the network and run the command again.`
      throw new FacetError('connection_failed', problem, { cause })
    })
    const text = await response.text()
    // What somebody has put there may well be JSON.
    const isMedia = url.searchParams.get('alt') === 'media'
    if (response.ok) return (isMedia ? undefined : objectIn(text)) ?? { text }
    if (response.status === 401 && !first.refused) {
      // It may have ended on the way: the next one is new.
      first.refused = true
      tokens.refused(token)
      return this.#send(service, path, signal, request, first)
    }
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    throw new RestRefusal(response.status, objectIn(text), Number.isNaN(seconds) ? undefined : seconds * 1000)
  }
}

async function missingAs<T>(instead: T, run: () => Promise<RestJson>): Promise<RestJson | T> {
  try {
    return await run()
  } catch (error) {
    const { cause } = error as Error
    if (cause instanceof RestRefusal && cause.status === 404) return instead
    throw error
  }
}

function objectIn(text: string): RestJson | undefined {
  try {
    const json: unknown = JSON.parse(text)
    return isObject(json) ? json : undefined
  } catch {
    // Whoever wants an object finds its fields missing.
    return undefined
  }
}
