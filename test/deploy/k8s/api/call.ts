/** What a call is, where it goes, and what is answered. */
import type { Json } from '../../../../deploy/target.ts'
import type { Route } from './proxy.ts'
import type { ResourceType } from './resources.ts'
import type { Store } from './store.ts'

export interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly contentType: string
  readonly token: string
  /** The user agent up to the slash. */
  readonly agent: string
  readonly text: string
}

export interface Reply {
  readonly status: number
  /** Text is answered as plain text. */
  readonly body: Json
  readonly warnings?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
}

export interface State {
  readonly store: Store
  readonly warnings: ReadonlyMap<string, string>
  readonly logs: ReadonlyMap<string, () => string>
  readonly users: ReadonlyMap<string, string>
  /** Where Services lead to. */
  route: Route
}

/** Where a call goes. */
export interface Place {
  readonly type: ResourceType
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string | undefined
}

export const APPLY = 'application/apply-patch+yaml'
