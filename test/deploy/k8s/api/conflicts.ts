/** Fields that an apply would take from somebody else. */
import type { JsonObject } from '../../../../deploy/target.ts'
import { covers, type FieldPath, type FieldSet, fieldsOf, toDotted, valueAt } from './fields.ts'
import type { ResourceType } from './resources.ts'
import { type Cause, Refusal } from './status.ts'
import type { Owner, Written } from './write.ts'

export interface Conflict {
  readonly owner: Owner
  readonly path: FieldPath
}

export function isChanged(type: ResourceType, live: Written, config: JsonObject, path: FieldPath): boolean {
  const wanted = valueAt(type.schema, config, path)
  const there = valueAt(type.schema, live.object, path)
  // Items and structs are only there or not there; what is in them counts by itself.
  const whole = typeof wanted !== 'object' || isLeaf(type, config, path)
  return whole ? !same(wanted, there) : there === undefined
}

export function isLeaf(type: ResourceType, config: JsonObject, path: FieldPath): boolean {
  return ![...fieldsOf(type.schema, config)].some((other) => other !== path && covers(path, other))
}

export function conflictsOf(
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

export const isLeafOf = (owner: Owner, path: FieldPath): boolean =>
  ![...owner.fields].some((other) => other !== path && covers(path, other))

/** Where the owner holds a whole map or list, the conflict is about that. */
export const ownedPath = (owner: Owner, path: FieldPath): FieldPath =>
  owner.fields.has(path) ? path : ([...owner.fields].find((field) => covers(field, path)) ?? path)

export function conflictRefusal(conflicts: readonly Conflict[]): Refusal {
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

export const same = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}
