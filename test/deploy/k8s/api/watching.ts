/** Watches: what has happened and what happens, one event a line. */
import type { ServerResponse } from 'node:http'
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import type { ResourceType } from './resources.ts'
import { type Change, type Selector, type Store, toAnswer } from './store.ts'

export interface WatchReply {
  readonly watch: ResourceType
  readonly namespace: string | undefined
  readonly selector: Selector
  /** Undefined: everything that is there comes first. */
  readonly since: number | undefined
}

export interface Watching {
  end(): void
}

export function watch(
  store: Store,
  { watch: type, namespace, selector, since }: WatchReply,
  response: ServerResponse,
  silent: boolean,
): Watching {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.flushHeaders()
  const send = (event: string, object: Json): void => {
    if (!silent) response.write(`${JSON.stringify({ type: event, object })}\n`)
  }
  if (since !== undefined && since < store.oldest) {
    send('ERROR', expired(since, store.oldest))
    response.end()
    return { end: () => undefined }
  }
  const shown = new Set<string>()
  const tell = ({ event, stored }: Pick<Change, 'event' | 'stored'>): void => {
    const { namespace: of, uid } = stored.object.metadata as JsonObject
    if (stored.type.plural !== type.plural || (namespace !== undefined && of !== namespace)) return
    const fits = event !== 'DELETED' && selector(stored.object)
    const known = shown.has(String(uid))
    if (!fits && !known) return
    if (fits) shown.add(String(uid))
    else shown.delete(String(uid))
    send(fits ? (known ? 'MODIFIED' : 'ADDED') : 'DELETED', toAnswer(stored, type))
  }
  if (since === undefined) for (const stored of store.list(type, namespace)) tell({ event: 'ADDED', stored })
  // What was there at that version was listed before: its changes are changes.
  else
    for (const { object } of store.at(since))
      if (selector(object)) shown.add(String((object.metadata as JsonObject).uid))
  const stop = store.watch(since ?? store.version, tell)
  return {
    end() {
      stop()
      response.end()
    },
  }
}

function expired(asked: number, oldest: number): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `too old resource version: ${asked} (${oldest})`,
    reason: 'Expired',
    code: 410,
  }
}
