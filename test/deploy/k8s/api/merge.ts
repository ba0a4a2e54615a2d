/** Merging of objects by their schema: what apply writes, what it takes away, and the other patches. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { fieldSchema, isObject, resolved, type Schema } from '../schema.ts'
import { type FieldPath, isAtomic, itemElement, listKeys } from './fields.ts'

/** `over` on top of `under`: maps by name, lists by key, everything else as a whole. */
export function merge(schema: Schema, under: Json | undefined, over: Json): Json {
  if (isObject(over) && isObject(under) && !isAtomic(schema, over)) {
    const merged: Record<string, Json> = { ...under }
    for (const [name, value] of Object.entries(over))
      if (value !== null) merged[name] = merge(fieldSchema(schema, name) ?? {}, under[name], value)
    return merged
  }
  if (Array.isArray(over) && Array.isArray(under) && !isAtomic(schema, over)) {
    const items = resolved(schema.items ?? {})
    const mine = new Map(over.map((item) => [itemElement(schema, item), item]))
    const kept = under.map((item) => {
      const element = itemElement(schema, item)
      const own = mine.get(element)
      mine.delete(element)
      return own === undefined ? item : merge(items, item, own)
    })
    return [...kept, ...mine.values()]
  }
  return over
}

/** The object without what stands at this path. */
export function without(schema: Schema, value: Json, path: FieldPath): Json {
  const [element = '', ...rest] = path.split('\n')
  const below = rest.join('\n')
  if (element.startsWith('f:')) {
    const name = element.slice(2)
    if (!isObject(value) || value[name] === undefined) return value
    const { [name]: inner, ...others } = value
    if (below === '') return others
    return { ...value, [name]: without(fieldSchema(schema, name) ?? {}, inner!, below) }
  }
  if (!Array.isArray(value)) return value
  return value.flatMap((item) => {
    if (itemElement(schema, item) !== element) return [item]
    return below === '' ? [] : [without(resolved(schema.items ?? {}), item, below)]
  })
}

/** RFC 7386. */
export function mergePatch(under: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const merged: Record<string, Json> = isObject(under) ? { ...under } : {}
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else merged[name] = mergePatch(merged[name], value)
  }
  return merged
}

/** A merge patch whose lists are merged by key. */
export function strategicPatch(schema: Schema, under: Json | undefined, patch: Json): Json {
  if (isObject(patch)) {
    const merged: Record<string, Json> = isObject(under) ? { ...under } : {}
    for (const [name, value] of Object.entries(patch)) {
      if (value === null) delete merged[name]
      else merged[name] = strategicPatch(fieldSchema(schema, name) ?? {}, merged[name], value)
    }
    return merged
  }
  if (!Array.isArray(patch) || !Array.isArray(under) || !listKeys(schema)) return patch
  const items = resolved(schema.items ?? {})
  const mine = new Map(patch.map((item) => [itemElement(schema, item), item]))
  const kept = under.map((item) => {
    const own = mine.get(itemElement(schema, item))
    mine.delete(itemElement(schema, item))
    return own === undefined ? item : strategicPatch(items, item, own)
  })
  return [...kept, ...mine.values()]
}

/** An empty object below which nothing is, as far as apply leaves one behind. */
export function withoutEmptied(value: JsonObject, names: readonly string[]): JsonObject {
  const empty = (one: Json | undefined): boolean =>
    isObject(one) ? Object.keys(one).length === 0 : Array.isArray(one) && one.length === 0
  return Object.fromEntries(
    Object.entries(value).filter(([name, one]) => !(names.includes(name) && empty(one))),
  )
}
