/** Server-side apply and updates: the new object, and who owns which of its fields. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { isObject, type Problem, problemsOf } from '../schema.ts'
import { withDefaults } from './defaults.ts'
import {
  changedFields,
  covers,
  type FieldPath,
  type FieldSet,
  fieldsOf,
  itemElement,
  toDotted,
  toFieldsV1,
  valueAt,
} from './fields.ts'
import { merge, without, withoutEmptied } from './merge.ts'
import { apiVersionOf, type ResourceType } from './resources.ts'
import { badRequest, type Cause, Refusal } from './status.ts'

/** Who set which fields, by which operation. */
export interface Owner {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly subresource?: string
  /** Left out where only the ownership, and nothing of the object, has changed. */
  readonly time?: string
  readonly fields: FieldSet
}

export interface Written {
  readonly object: JsonObject
  readonly owners: readonly Owner[]
}

export interface Writer {
  readonly manager: string
  readonly subresource?: string
  /** Left out by the subresource scale. */
  readonly time?: string
}

const same = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

const isSame = (owner: Owner, writer: Writer, operation: Owner['operation']): boolean =>
  owner.manager === writer.manager &&
  owner.operation === operation &&
  owner.subresource === writer.subresource

/**
 * @throws Refusal 500 for a field that the schema does not know, 422 for a bad value, 409 for a conflict
 */
export function applied(
  type: ResourceType,
  live: Written | undefined,
  config: JsonObject,
  writer: Writer,
  force: boolean,
): Written {
  const wanted = fieldsOf(type.schema, config)
  const others = (live?.owners ?? []).filter((owner) => !isSame(owner, writer, 'Apply'))
  const mine = live?.owners.find((owner) => isSame(owner, writer, 'Apply'))
  const conflicts = force ? [] : conflictsOf(type, live, config, wanted, others)
  if (conflicts.length > 0) throw conflictRefusal(conflicts)

  let object = merge(type.schema, live?.object, config) as JsonObject
  const kept = (path: FieldPath): boolean =>
    [wanted, ...others.map(({ fields }) => fields)].some((fields) =>
      [...fields].some((field) => covers(path, field)),
    )
  const given = (path: FieldPath): boolean => live !== undefined && isChanged(type, live, config, path)
  for (const path of mine?.fields ?? [])
    if (!kept(path)) object = without(type.schema, object, path) as JsonObject
  const raw = object
  object = withoutEmptied(object, ['data', 'stringData', 'binaryData'])
  const { labels, annotations } = object.metadata as JsonObject
  if ([labels, annotations].some((map) => isObject(map) && Object.keys(map).length === 0))
    object = { ...object, metadata: withoutEmptied(object.metadata as JsonObject, ['labels', 'annotations']) }
  object = withDefaults(type, object)
  checkValues(type, object)

  // An empty map is nothing in the answer, but to own it for the first time is a change.
  const unchanged =
    live !== undefined &&
    same(live.object, object) &&
    (mine !== undefined || same(Object.keys(raw).sort(), Object.keys(live.object).sort()))
  const losers = others.flatMap((owner) => {
    const lost = (path: FieldPath): boolean =>
      wanted.has(path)
        ? given(path)
        : isLeafOf(owner, path) && [...wanted].some((one) => covers(path, one) && given(one))
    const fields = new Set([...owner.fields].filter((path) => !(force && lost(path))))
    return fields.size === 0 ? [] : [{ ...owner, fields }]
  })
  if (wanted.size === 0) return { object, owners: losers }
  const { time: _, ...rest } = mine ?? toOwner(type, writer, 'Apply', wanted)
  const time = unchanged ? mine?.time : writer.time
  return { object, owners: [...losers, { ...rest, fields: wanted, ...(time === undefined ? {} : { time }) }] }
}

/** A create, a replace or a patch: it never conflicts, and takes what it changes. */
export function updated(
  type: ResourceType,
  live: Written | undefined,
  next: JsonObject,
  writer: Writer,
): Written {
  const object = withDefaults(type, next)
  checkValues(type, object)
  const empty: JsonObject = { metadata: {} }
  const { status: _, ...main } = object
  const { status: __, ...old } = live?.object ?? empty
  const [before, after] =
    writer.subresource === 'status'
      ? [live?.object ?? empty, object]
      : [old as JsonObject, main as JsonObject]
  const changed = changedFields(type.schema, before, after, type.custom)
  // Addresses are given out after the fields were counted.
  if (type.kind === 'Service' && !live)
    for (const name of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'])
      if (valueAt(type.schema, next, `f:spec\nf:${name}`) === undefined) changed.delete(`f:spec\nf:${name}`)
  if (changed.size === 0 && live && same(live.object, object)) return live
  const mine = live?.owners.find((owner) => isSame(owner, writer, 'Update'))
  const others = (live?.owners ?? [])
    .filter((owner) => owner !== mine)
    .flatMap((owner) => {
      const fields = new Set(
        [...owner.fields].filter(
          (path) => !changed.has(path) && valueAt(type.schema, object, path) !== undefined,
        ),
      )
      return fields.size === 0 ? [] : [{ ...owner, fields }]
    })
  const fields = new Set(
    [...(mine?.fields ?? []), ...changed].filter((path) => valueAt(type.schema, object, path) !== undefined),
  )
  return {
    object,
    owners: fields.size === 0 ? others : [...others, toOwner(type, writer, 'Update', fields)],
  }
}

function toOwner(type: ResourceType, writer: Writer, operation: Owner['operation'], fields: FieldSet): Owner {
  const { manager, subresource, time } = writer
  return {
    manager,
    operation,
    apiVersion: apiVersionOf(type),
    fields,
    ...(time === undefined ? {} : { time }),
    ...(subresource === undefined ? {} : { subresource }),
  }
}

export function toManagedFields(owners: readonly Owner[]): JsonObject[] {
  return owners.map(({ manager, operation, apiVersion, time, fields, subresource }) => ({
    manager,
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: toFieldsV1(fields),
    ...(subresource === undefined ? {} : { subresource }),
  }))
}

interface Conflict {
  readonly owner: Owner
  readonly path: FieldPath
}

function isChanged(type: ResourceType, live: Written, config: JsonObject, path: FieldPath): boolean {
  const wanted = valueAt(type.schema, config, path)
  const there = valueAt(type.schema, live.object, path)
  // Items and structs are only there or not there; what is in them counts by itself.
  const whole = typeof wanted !== 'object' || isLeaf(type, config, path)
  return whole ? !same(wanted, there) : there === undefined
}

function isLeaf(type: ResourceType, config: JsonObject, path: FieldPath): boolean {
  return ![...fieldsOf(type.schema, config)].some((other) => other !== path && covers(path, other))
}

function conflictsOf(
  type: ResourceType,
  live: Written | undefined,
  config: JsonObject,
  wanted: FieldSet,
  others: readonly Owner[],
): Conflict[] {
  if (!live) return []
  return others.flatMap((owner) =>
    [...wanted]
      .sort()
      .flatMap((path) => {
        const owned =
          owner.fields.has(path) ||
          [...owner.fields].some((field) => covers(field, path) && isLeafOf(owner, field))
        return owned && isChanged(type, live, config, path) ? [{ owner, path: ownedPath(owner, path) }] : []
      })
      .filter((one, index, all) => all.findIndex(({ path }) => path === one.path) === index),
  )
}

const isLeafOf = (owner: Owner, path: FieldPath): boolean =>
  ![...owner.fields].some((other) => other !== path && covers(path, other))

/** Where the owner holds a whole map or list, the conflict is about that. */
const ownedPath = (owner: Owner, path: FieldPath): FieldPath =>
  owner.fields.has(path) ? path : ([...owner.fields].find((field) => covers(field, path)) ?? path)

function conflictRefusal(conflicts: readonly Conflict[]): Refusal {
  const title = ({ manager, operation, subresource, apiVersion }: Owner): string =>
    `"${manager}"${subresource === undefined ? '' : ` with subresource "${subresource}"`}${operation === 'Update' ? ` using ${apiVersion}` : ''}`
  const causes = conflicts.map(({ owner, path }): Cause & JsonObject => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${title(owner)}`,
    field: toDotted(path),
  }))
  const owners = [...new Set(conflicts.map(({ owner }) => owner))]
  const said = owners.map((owner) => {
    const fields = conflicts.filter((one) => one.owner === owner).map(({ path }) => toDotted(path))
    return conflicts.length === 1
      ? `conflict with ${title(owner)}: ${fields[0]}`
      : `conflicts with ${title(owner)}:\n${fields.map((field) => `- ${field}`).join('\n')}`
  })
  const count = conflicts.length === 1 ? '1 conflict' : `${conflicts.length} conflicts`
  return new Refusal(409, 'Conflict', `Apply failed with ${count}: ${said.join('\n')}`, { causes })
}

/** Server-side apply answers 500, without a reason, for what does not fit the schema's form. */
export function checkTyped(type: ResourceType, config: JsonObject): void {
  const wrong = problemsOf(type.schema, config)
    .filter(({ what }) => what === 'unknown field' || what === 'wrong type')
    .sort((a, b) => a.path.split('.').length - b.path.split('.').length)[0]
  const twice = wrong ? undefined : duplicateIn(type, config)
  const says = wrong ? `.${wrong.path}: ${saysTyped(wrong)}` : twice
  if (says === undefined) return
  const { name, namespace } = config.metadata as JsonObject
  const of = `(${namespace === undefined ? '' : String(namespace)}/${String(name)}; ${apiVersionOf(type)}, Kind=${type.kind})`
  throw new Refusal(500, undefined, `failed to create typed patch object ${of}: ${says}`)
}

function saysTyped({ what, says }: Problem): string {
  if (what === 'unknown field') return says
  const [, expected, got] = /^expected (\w+), got (.*)$/.exec(says)!
  const numeric = expected === 'integer' || expected === 'number'
  if (numeric) return `expected numeric (int or float), got ${typeof JSON.parse(got!)}`
  return `expected ${expected === 'array' ? 'list' : expected === 'object' ? 'map' : expected}, got &{${got}}`
}

function duplicateIn(type: ResourceType, config: JsonObject): string | undefined {
  const listeners = (config.spec as JsonObject | undefined)?.listeners
  const schema = type.schema.properties?.spec?.properties?.listeners
  if (!schema || !Array.isArray(listeners)) return undefined
  const seen = listeners.map((item: Json) => itemElement(schema, item))
  const twice = seen.find((one, index) => seen.indexOf(one) !== index)
  return twice && `.spec.listeners: duplicate entries for key ${toDotted(twice)}`
}

/** 422 with one cause a value that the schema does not take; structs of built-in kinds have few such rules. */
function checkValues(type: ResourceType, object: JsonObject): void {
  const wrong = problemsOf(type.schema, object).filter(
    ({ what }) => what === 'missing' || what === 'bad value',
  )
  if (wrong.length === 0) return
  const causes = wrong.map(({ path, says, what }) => ({
    reason: what === 'missing' ? 'FieldValueRequired' : 'FieldValueInvalid',
    message: says,
    field: path,
  }))
  const name = String((object.metadata as JsonObject).name)
  const group = type.group === '' ? '' : `.${type.group}`
  const said = causes.map(({ field, message }) => `${field}: ${message}`)
  throw new Refusal(
    422,
    'Invalid',
    `${type.kind}${group} "${name}" is invalid: ${said.length > 1 ? `[${said.join(', ')}]` : said[0]}`,
    { name, ...(type.group === '' ? {} : { group: type.group }), kind: type.kind, causes },
  )
}

/** What a body is refused for before anything is looked up. */
export function checkBody(
  type: ResourceType,
  body: Json,
  namespace: string | undefined,
  name?: string,
): JsonObject {
  if (!isObject(body)) throw badRequest('the body of the request is not an object')
  const { apiVersion = '', kind = '', metadata } = body
  if (apiVersion === '' || kind === '')
    throw badRequest(`invalid object type: /${String(apiVersion)}, Kind=${String(kind)}`)
  const meta = isObject(metadata) ? metadata : {}
  if (namespace !== undefined && meta.namespace !== undefined && meta.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  if (name !== undefined && meta.name !== undefined && meta.name !== name)
    throw badRequest(
      `the name of the object (${String(meta.name)}) does not match the name on the URL (${name})`,
    )
  if (apiVersion !== apiVersionOf(type))
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${apiVersionOf(type)})`,
    )
  return body
}
