/** What the server answers to one call: discovery, reads, and who may do what. */
import type { Json } from '../../../../deploy/target.ts'
import { isObject } from '../schema.ts'
import type { Call, Place, Reply, State } from './call.ts'
import { type ProxyPlace, toProxy } from './proxy.ts'
import { deleted } from './removal.ts'
import { apiVersionOf, discover, openapi, RESOURCE_TYPES } from './resources.ts'
import { required, toScale } from './scale.ts'
import { forbidden, noSuchResource, Refusal } from './status.ts'
import { labelSelector, type Selector, toAnswer } from './store.ts'
import type { WatchReply } from './watching.ts'
import { bodyOf, write } from './writing.ts'

const coreType = (plural: string): Place['type'] =>
  RESOURCE_TYPES.find((one) => one.group === '' && one.plural === plural)!

const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

/** A reply, what a watch shows, or where a call is passed on to. */
export function answer(state: State, call: Call): Reply | WatchReply | ProxyPlace {
  const { path, method, token } = call
  if (path === '/readyz' || path === '/livez') return { status: 200, body: 'ok' }
  const user = token === '' ? 'system:anonymous' : state.users.get(token)
  if (user === undefined) throw new Refusal(401, 'Unauthorized', 'Unauthorized')
  if (path === '/version') return { status: 200, body: { major: '1', minor: '36', gitVersion: 'v1.36.2' } }
  const known = path.startsWith('/openapi/') ? openapi(path) : undefined
  if (known !== undefined) return { status: 200, body: known }
  const proxy = toProxy(path, coreType)
  if (proxy) {
    authorize(proxy.place, call, user)
    required(state.store, proxy.place)
    return proxy
  }
  const place = toPlace(path)
  if (!place) {
    const found = discover(path)
    if (found !== undefined) return { status: 200, body: found }
    if (
      RESOURCE_TYPES.some(
        ({ group, custom }) => !custom && path.startsWith(`/apis/${group}/`) && group !== '',
      )
    )
      throw noSuchResource()
    return { status: 404, body: '404 page not found\n' }
  }
  authorize(place, call, user)
  if (method === 'GET') return read(state, place, call)
  if (method === 'DELETE') return deleted(state.store, place, call.query, bodyOf(call))
  return write(state, place, call)
}

function toPlace(path: string): Place | undefined {
  const match =
    /^\/(?:api|apis\/([^/]+))\/(v[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
      path,
    )
  if (!match) return undefined
  const [, group = '', version, namespace, plural, name, subresource] = match
  // /api/v1/namespaces/NAME is a namespace, not something in it.
  const [own, inside] = namespace === undefined ? [plural, undefined] : [plural, namespace]
  const type = RESOURCE_TYPES.find(
    (one) => one.group === group && one.version === version && one.plural === own,
  )
  return type && { type, namespace: inside, name, subresource }
}

function authorize(
  { type, namespace, name, subresource }: Place,
  { method, query }: Call,
  user: string,
): void {
  if (user === 'admin') return
  const read = query.get('watch') === 'true' ? 'watch' : name === undefined ? 'list' : 'get'
  const verb = method === 'GET' ? read : VERBS[method]!
  throw forbidden(type, verb, user, namespace, name, subresource)
}

function read(state: State, place: Place, { query }: Call): Reply | WatchReply {
  const { type, namespace, name, subresource } = place
  const { store } = state
  if (name !== undefined) {
    const stored = required(store, place)
    if (subresource === 'log') {
      const container = query.get('container') ?? ''
      return { status: 200, body: state.logs.get(`${name}/${container}`)?.() ?? '' }
    }
    if (subresource === 'scale') return { status: 200, body: toScale(stored) }
    return { status: 200, body: toAnswer(stored, type) }
  }
  const selector = selectorOf(query)
  if (query.get('watch') === 'true') {
    const since = query.get('resourceVersion') ?? ''
    return {
      watch: type,
      namespace,
      selector,
      since: since === '' || since === '0' ? undefined : Number(since),
    }
  }
  const items = store.list(type, namespace).filter(({ object }) => selector(object))
  return {
    status: 200,
    body: {
      kind: `${type.kind}List`,
      apiVersion: apiVersionOf(type),
      metadata: { resourceVersion: String(store.version) },
      items: items.map((stored) => {
        const { kind, apiVersion, ...rest } = toAnswer(stored, type)
        return type.custom ? { kind: kind!, apiVersion: apiVersion!, ...rest } : rest
      }),
    },
  }
}

function selectorOf(query: URLSearchParams): Selector {
  const labels = labelSelector(query.get('labelSelector') ?? '')
  const fields = (query.get('fieldSelector') ?? '').split(',').filter((part) => part !== '')
  return (object) =>
    labels(object) &&
    fields.every((field) => {
      const [path = '', value] = field.split('=')
      const found = path
        .split('.')
        .reduce<Json | undefined>((at, name) => (isObject(at) ? at[name] : undefined), object)
      return found === value
    })
}
