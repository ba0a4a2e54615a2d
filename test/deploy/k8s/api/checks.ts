/** What a write is refused for before it is made. */
import type { JsonObject } from '../../../../deploy/target.ts'
import { isObject, problemsOf } from '../schema.ts'
import { APPLY, type Call, type Place } from './call.ts'
import type { ResourceType } from './resources.ts'
import { badRequest, conflict, invalidOption, MODIFIED, notFound, Refusal, terminating } from './status.ts'
import { type Store, type Stored, typeOf } from './store.ts'

export function checkOptions({ query, contentType, method }: Call, kind: string): void {
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
export function checkFields(
  type: ResourceType,
  body: JsonObject,
  query: URLSearchParams,
  warnings: string[],
): void {
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

export function checkNamespace(store: Store, { type, namespace }: Place, name: string): void {
  if (namespace === undefined) return
  const namespaces = typeOf('v1', 'Namespace')!
  const found = store.get(namespaces, undefined, namespace)
  if (!found) throw notFound(namespaces, namespace)
  const gone = (found.object.metadata as JsonObject).deletionTimestamp !== undefined
  if (gone && !store.get(type, namespace, name)) throw terminating(type, name, namespace)
}

export function checkMissing(
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

export function checkVersion(
  { type }: Place,
  live: Stored | undefined,
  config: JsonObject | undefined,
  name: string,
): void {
  const asked = isObject(config?.metadata) ? config.metadata.resourceVersion : undefined
  const there = (live?.object.metadata as JsonObject | undefined)?.resourceVersion
  if (live && asked !== undefined && asked !== there) throw conflict(type, name, MODIFIED)
}

export function checkPatched(
  { type }: Place,
  object: JsonObject,
  query: URLSearchParams,
  name: string,
): void {
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
