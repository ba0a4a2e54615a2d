/** The server that the page came from: its key, its models, whether it is ready, and its figures. */
import { type Client, createClient, FacetError, type ModelSpec } from '../../index.ts'
import { SERVER } from './conversation.ts'
import type { Reading } from './figures.ts'
import type { Source } from './live.ts'
import { readingFrom } from './readings.ts'

/** Ends with a slash; the app may be mounted below a path. */
export const base: URL = new URL('.', location.origin + location.pathname)
export const api: URL = new URL('v1', base)
/** Where the server offers the model's files, if it does. */
export const modelFiles: URL = new URL('model/', base)

const PATIENCE_MS = 10_000

/** What the server is like just now. */
export type ServerState =
  | { readonly type: 'ready'; readonly models: readonly ModelSpec[] }
  /** It has said what it serves, but not yet that it can. */
  | { readonly type: 'waiting'; readonly models: readonly ModelSpec[]; readonly message: string }
  | { readonly type: 'locked'; readonly message: string }

export class Server {
  client: Client = clientWith('')
  /** In this page's memory only. */
  #key = ''

  /** Whether a key was given, which then goes with every request. */
  get keyed(): boolean {
    return this.#key !== ''
  }

  /** @throws FacetError invalid_request when no header can carry it */
  setKey(key: string): void {
    this.client = clientWith(key)
    this.#key = key
  }

  /** A GET below the page's address, with the key. */
  get(path: string): Promise<Response> {
    const headers: HeadersInit = this.keyed ? { authorization: `Bearer ${this.#key}` } : {}
    return fetch(new URL(path, base), { headers, signal: AbortSignal.timeout(PATIENCE_MS) })
  }

  /** What GET /metrics says. */
  figures(): Source {
    const read = async (): Promise<Reading | string> => {
      try {
        const response = await this.get('metrics')
        if (response.ok) return readingFrom(await response.text(), performance.now())
        await response.body?.cancel()
        return `The server shows no figures: /metrics answered ${response.status}.`
      } catch {
        return 'The server does not answer.' // whatever it is: the figures stop here, and the lines with them
      }
    }
    return { name: SERVER, read }
  }

  async state(): Promise<ServerState> {
    let models: readonly ModelSpec[] = []
    try {
      models = await this.client.models({ timeouts: { totalMs: PATIENCE_MS } })
      if (models.length === 0)
        return { type: 'waiting', models, message: 'The server has no model to ask yet.' }
      const answer = await this.get('readyz')
      if (answer.status !== 503) return { type: 'ready', models }
      const { error, progress } = await answer.json()
      const share = typeof progress === 'number' ? ` (${Math.round(progress * 100)}%)` : ''
      return { type: 'waiting', models, message: `${error.message}${share}` }
    } catch (error) {
      if (error instanceof FacetError && (error.code === 'unauthorized' || error.code === 'forbidden')) {
        const message = this.keyed
          ? `The server does not take this key: ${error.message}`
          : 'This server asks for an API key; enter yours in the settings.'
        return { type: 'locked', message }
      }
      // Whatever it is, the remedy is the same: the server has to come up.
      return { type: 'waiting', models, message: 'The server does not answer; trying again …' }
    }
  }
}

function clientWith(key: string): Client {
  return createClient({ baseURL: api.href, name: 'The server', ...(key !== '' && { apiKey: key }) })
}
