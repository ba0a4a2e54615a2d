/** What the server answers to one call: discovery, reads, writes and their checks. */
import { load } from 'js-yaml'
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { applyJsonPatch } from '../json-patch.ts'
import { isObject, problemsOf } from '../schema.ts'
import { mergePatch, strategicPatch } from './merge.ts'
import { deleted } from './removal.ts'
import { apiVersionOf, discover, openapi, RESOURCE_TYPES, type ResourceType } from './resources.ts'
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  invalidOption,
  MODIFIED,
  noSuchResource,
  notFound,
  Refusal,
  terminating,
} from './status.ts'
import { labelSelector, type Selector, type Store, type Stored, toAnswer, typeOf } from './store.ts'
import type { WatchReply } from './watching.ts'
import { applied, checkBody, checkTyped, updated, type Writer, type Written } from './write.ts'

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
  readonly logs: ReadonlyMap<string, string>
  readonly users: ReadonlyMap<string, string>
}

/** Where a call goes. */
interface Place {
  readonly type: ResourceType
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string | undefined
}

const APPLY = 'application/apply-patch+yaml'
const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

export function answer(state: State, call: Call): Reply | WatchReply {
  const { path, method, token } = call
  if (path === '/readyz' || path === '/livez') return { status: 200, body: 'ok' }
  const user = token === '' ? 'system:anonymous' : state.users.get(token)
  if (user === undefined) throw new Refusal(401, 'Unauthorized', 'Unauthorized')
  if (path === '/version') return { status: 200, body: { major: '1', minor: '36', gitVersion: 'v1.36.2' } }
  const known = path.startsWith('/openapi/') ? openapi(path) : undefined
  if (known !== undefined) return { status: 200, body: known }
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
      return { status: 200, body: state.logs.get(`${name}/${container}`) ?? '' }
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

/** A write of any kind: checked, made, and kept unless it is a dry run. */
function write(state: State, place: Place, call: Call): Reply {
  const { store } = state
  const { type, namespace, subresource } = place
  const { query, contentType, method } = call
  const options = method === 'PATCH' ? 'PatchOptions' : method === 'PUT' ? 'UpdateOptions' : 'CreateOptions'
  checkOptions(call, options)
  const warnings: string[] = []
  const body = bodyOf(call)
  const isApply = contentType === APPLY
  const name = place.name ?? nameOf(body)
  if (subresource === 'scale') return scale(store, place, call, body)
  const config = method === 'PATCH' && !isApply ? undefined : checkBody(type, body, namespace, place.name)
  if (config && !isApply) checkFields(type, config, query, warnings)
  if (isApply && isObject(config!.metadata) && config!.metadata.managedFields !== undefined)
    throw badRequest('metadata.managedFields must be nil')
  if (isApply) checkTyped(type, config!)
  checkNamespace(store, place, name)
  const live = store.get(type, namespace, name)
  if (!live) checkMissing(place, name, method, isApply, config)
  const writer: Writer = {
    manager: query.get('fieldManager') ?? call.agent,
    time: store.now(),
    ...(subresource === undefined ? {} : { subresource }),
  }
  if (method === 'POST' && live)
    throw alreadyExists(type, name, (live.object.metadata as JsonObject).deletionTimestamp !== undefined)
  checkVersion(place, live, config, name)
  const written = isApply
    ? applied(type, live, prepared(place, config!, name), writer, isForced(query))
    : updated(type, live, nextObject(place, live, call, body, name), writer)
  const complete = withSystemFields(store, place, live, written, name)
  const warned = state.warnings.get(type.kind)
  if (warned !== undefined && isSpecWrite(live, complete)) warnings.push(warned)
  const status = live ? 200 : 201
  if (query.get('dryRun') === 'All') return { status, body: toAnswer(complete, type), warnings }
  if (live && sameWritten(live, complete)) return { status, body: toAnswer(live, type), warnings }
  const { finalizers, deletionTimestamp } = complete.object.metadata as JsonObject
  if (live && deletionTimestamp !== undefined && finalizers === undefined && type.kind !== 'Namespace') {
    // The write that takes the last finalizer away is the deletion.
    const last = { ...complete, owners: live.owners }
    store.remove({ ...last, type })
    return { status, body: toAnswer(last, type), warnings }
  }
  return { status, body: toAnswer(store.put(type, complete), type), warnings }
}

function bodyOf({ text, contentType }: Call): Json {
  if (text === '') return null
  const yaml = contentType.includes('yaml') && !text.trimStart().startsWith('{')
  try {
    return (yaml ? load(text) : JSON.parse(text)) as Json
  } catch (error) {
    throw badRequest(`error decoding the body: ${error instanceof Error ? error.message : String(error)}`)
  }
}

const nameOf = (body: Json): string =>
  isObject(body) && isObject(body.metadata) ? String(body.metadata.name) : ''

const isForced = (query: URLSearchParams): boolean => !['', 'false', '0'].includes(query.get('force') ?? '')

function checkOptions({ query, contentType, method }: Call, kind: string): void {
  const isApply = contentType === APPLY
  const dryRun = query.get('dryRun')
  if (dryRun !== null && dryRun !== 'All')
    throw invalidOption(
      kind,
      'dryRun',
      'FieldValueNotSupported',
      `Unsupported value: ["${dryRun}"]: supported values: "All"`,
    )
  const validation = query.get('fieldValidation') ?? ''
  if (!['', 'Ignore', 'Strict', 'Warn'].includes(validation))
    throw invalidOption(
      kind,
      'fieldValidation',
      'FieldValueNotSupported',
      `Unsupported value: "${validation}": supported values: "", "Ignore", "Strict", "Warn"`,
    )
  if (method !== 'PATCH') return
  if (isApply && query.get('fieldManager') === null)
    throw invalidOption(
      kind,
      'fieldManager',
      'FieldValueRequired',
      'Required value: is required for apply patch',
    )
  if (!isApply && query.get('force') !== null)
    throw invalidOption(
      kind,
      'force',
      'FieldValueForbidden',
      'Forbidden: may not be specified for non-apply patch',
    )
}

/** Unknown fields of a create or a replace: refused, told or passed over, as the caller asks. */
function checkFields(type: ResourceType, body: JsonObject, query: URLSearchParams, warnings: string[]): void {
  const unknown = problemsOf(type.schema, body)
    .filter(({ what }) => what === 'unknown field')
    // The real decoder goes into a struct before it says what it did not know of it.
    .sort((a, b) => b.path.split('.').length - a.path.split('.').length)
    .map(({ path }) => `unknown field "${path}"`)
  const validation = query.get('fieldValidation') ?? 'Warn'
  if (unknown.length === 0 || validation === 'Ignore') return
  if (validation === 'Warn') warnings.push(...unknown)
  else
    throw badRequest(
      `${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}: strict decoding error: ${unknown.join(', ')}`,
    )
}

function checkNamespace(store: Store, { type, namespace }: Place, name: string): void {
  if (namespace === undefined) return
  const namespaces = typeOf('v1', 'Namespace')!
  const found = store.get(namespaces, undefined, namespace)
  if (!found) throw notFound(namespaces, namespace)
  const gone = (found.object.metadata as JsonObject).deletionTimestamp !== undefined
  if (gone && !store.get(type, namespace, name)) throw terminating(type, name, namespace)
}

function checkMissing(
  { type }: Place,
  name: string,
  method: string,
  isApply: boolean,
  config?: JsonObject,
): void {
  if (method === 'PUT' || (method === 'PATCH' && !isApply)) throw notFound(type, name)
  const uid = isObject(config?.metadata) ? config.metadata.uid : undefined
  if (uid !== undefined)
    throw conflict(
      type,
      name,
      `uid mismatch: the provided object specified uid ${String(uid)}, and no existing object was found`,
    )
}

function checkVersion(
  { type }: Place,
  live: Stored | undefined,
  config: JsonObject | undefined,
  name: string,
): void {
  const asked = isObject(config?.metadata) ? config.metadata.resourceVersion : undefined
  const there = (live?.object.metadata as JsonObject | undefined)?.resourceVersion
  if (live && asked !== undefined && asked !== there) throw conflict(type, name, MODIFIED)
}

/** An applied configuration without what only the server sets, and without the status, which is a subresource. */
function prepared({ namespace, subresource }: Place, config: JsonObject, name: string): JsonObject {
  const { status, metadata, ...rest } = config
  const { resourceVersion: _, uid: __, creationTimestamp: ___, ...given } = (metadata ?? {}) as JsonObject
  const own = { ...given, name, ...(namespace === undefined ? {} : { namespace }) }
  return {
    ...rest,
    metadata: own,
    ...(subresource === 'status' && status !== undefined ? { status } : {}),
  }
}

function nextObject(
  place: Place,
  live: Stored | undefined,
  call: Call,
  body: Json,
  name: string,
): JsonObject {
  const { type, namespace, subresource } = place
  const under = live?.object
  const patched = ((): JsonObject => {
    switch (call.method === 'PATCH' ? call.contentType : '') {
      case 'application/merge-patch+json':
        return mergePatch(under, body) as JsonObject
      case 'application/strategic-merge-patch+json':
        return strategicPatch(type.schema, under, body) as JsonObject
      case 'application/json-patch+json':
        if (!Array.isArray(body))
          throw badRequest(
            'error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp',
          )
        return applyJsonPatch(under!, body as JsonObject[]) as JsonObject
      default:
        return withoutUnknown(type, body as JsonObject)
    }
  })()
  if (call.method === 'PATCH') checkPatched(place, patched, call.query, name)
  const { managedFields: _, ...metadata } = (patched.metadata ?? {}) as JsonObject
  const status = subresource === 'status' ? patched.status : under?.status
  const { status: __, ...rest } = subresource === 'status' && under ? under : patched
  return {
    ...rest,
    metadata: {
      ...((under?.metadata ?? {}) as JsonObject),
      ...(subresource === 'status' ? {} : metadata),
      ...(call.method === 'PATCH' && subresource === undefined ? dropped(under, metadata) : {}),
      name,
      ...(namespace === undefined ? {} : { namespace }),
    },
    ...(status === undefined ? {} : { status }),
  }
}

/** What a patch has taken out of the metadata. */
function dropped(under: JsonObject | undefined, metadata: JsonObject): Record<string, Json> {
  const gone = Object.keys((under?.metadata ?? {}) as JsonObject).filter(
    (name) => metadata[name] === undefined,
  )
  return Object.fromEntries(gone.filter((name) => name === 'finalizers').map((name) => [name, []]))
}

function checkPatched({ type }: Place, object: JsonObject, query: URLSearchParams, name: string): void {
  const { name: named } = (object.metadata ?? {}) as JsonObject
  if (named !== undefined && named !== name)
    throw badRequest(`the name of the object (${String(named)}) does not match the name on the URL (${name})`)
  const unknown = problemsOf(type.schema, object).filter(({ what }) => what === 'unknown field')
  if (unknown.length > 0 && query.get('fieldValidation') === 'Strict')
    throw new Refusal(
      422,
      'Invalid',
      ` "" is invalid: patch: Invalid value: strict decoding error: unknown field "${unknown[0]!.path}"`,
    )
}

function withoutUnknown(type: ResourceType, body: JsonObject): JsonObject {
  const unknown = problemsOf(type.schema, body).filter(({ what }) => what === 'unknown field')
  return unknown.reduce((object, { path }) => {
    const pointer = `/${path.replaceAll(/\[(\d+)\]/g, '.$1').replaceAll('.', '/')}`
    return applyJsonPatch(object, [{ op: 'remove', path: pointer }]) as JsonObject
  }, body)
}

function withSystemFields(
  store: Store,
  { type, namespace }: Place,
  live: Stored | undefined,
  written: Written,
  name: string,
): Written {
  const old = (live?.object.metadata ?? {}) as JsonObject
  const metadata = written.object.metadata as JsonObject
  const counts =
    type.custom || ['Deployment', 'Job', 'NetworkPolicy', 'PodDisruptionBudget'].includes(type.kind)
  const generation = !live ? 1 : Number(old.generation ?? 1) + (isNewGeneration(type, live, written) ? 1 : 0)
  const { finalizers, ...rest } = metadata
  const kept =
    !live && type.kind === 'PersistentVolumeClaim'
      ? ['kubernetes.io/pvc-protection']
      : Array.isArray(finalizers) && finalizers.length > 0
        ? finalizers
        : undefined
  return {
    ...written,
    object: {
      ...written.object,
      metadata: {
        ...rest,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        uid: old.uid ?? store.uid(),
        creationTimestamp: old.creationTimestamp ?? store.now(),
        ...(old.resourceVersion === undefined ? {} : { resourceVersion: old.resourceVersion }),
        ...(counts ? { generation } : {}),
        ...(kept === undefined ? {} : { finalizers: kept }),
      },
    },
  }
}

/** Deployments count annotations, other kinds only what is asked for. */
function isNewGeneration({ kind }: ResourceType, live: Stored, next: Written): boolean {
  const of = ({ object }: Written): string => {
    const { metadata, status: _, ...rest } = object
    const { annotations } = metadata as JsonObject
    return JSON.stringify(sorted(kind === 'Deployment' ? { ...rest, annotations: annotations ?? {} } : rest))
  }
  return of(live) !== of(next)
}

const isSpecWrite = (live: Stored | undefined, next: Written): boolean =>
  !live ||
  JSON.stringify(sorted(live.object.spec ?? null)) !== JSON.stringify(sorted(next.object.spec ?? null))

function sameWritten(a: Written, b: Written): boolean {
  const form = ({ object, owners }: Written): string =>
    JSON.stringify([
      sorted(object),
      owners
        .map(({ fields, ...rest }) => [sorted({ ...rest }), [...fields].sort()])
        .map((one) => JSON.stringify(one))
        .sort(),
    ])
  return form(a) === form(b)
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const names = Object.keys(value).sort()
  return Object.fromEntries(names.map((name) => [name, sorted(value[name]!)]))
}

function required(store: Store, { type, namespace, name }: Place): Stored {
  const stored = store.get(type, namespace, name!)
  if (!stored) throw notFound(type, name!)
  return stored
}

function scale(store: Store, place: Place, { query, agent }: Call, body: Json): Reply {
  const live = required(store, place)
  const { replicas } = ((body as JsonObject).spec ?? {}) as JsonObject
  const spec = { ...(live.object.spec as JsonObject), replicas: replicas! }
  const writer = {
    manager: query.get('fieldManager') ?? agent,
    subresource: 'scale',
  }
  const written = updated(place.type, live, { ...live.object, spec }, writer)
  const complete = withSystemFields(store, place, live, written, place.name!)
  return { status: 200, body: toScale(store.put(place.type, complete)) }
}

function toScale({ object }: Stored): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata as JsonObject
  const { replicas, selector } = object.spec as JsonObject
  const labels = Object.entries(((selector as JsonObject).matchLabels ?? {}) as JsonObject)
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name: name!,
      namespace: namespace!,
      uid: uid!,
      resourceVersion: resourceVersion!,
      creationTimestamp: creationTimestamp!,
    },
    spec: { replicas: replicas! },
    status: { replicas: 0, selector: labels.map(([label, value]) => `${label}=${String(value)}`).join(',') },
  }
}
