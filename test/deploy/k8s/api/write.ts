/** Server-side apply and updates: the new object, and who owns which of its fields. */
import type { JsonObject } from '../../../../deploy/target.ts'
import { isObject } from '../schema.ts'
import { conflictRefusal, conflictsOf, isChanged, isLeafOf, same } from './conflicts.ts'
import { withDefaults } from './defaults.ts'
import {
  changedFields,
  covers,
  type FieldPath,
  type FieldSet,
  fieldsOf,
  toFieldsV1,
  valueAt,
} from './fields.ts'
import { merge, without, withoutEmptied } from './merge.ts'
import { apiVersionOf, type ResourceType } from './resources.ts'
import { checkValues } from './typed.ts'

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
