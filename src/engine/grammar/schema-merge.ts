/** Two schemas as one that holds what both hold, where that can be written as a schema. */

import { ANNOTATIONS, type JsonType } from './schema-keywords.ts'
import { SchemaProblem } from './schema-problem.ts'

export type SchemaObject = Readonly<Record<string, unknown>>

const HIGHER: ReadonlySet<string> = new Set(['minLength', 'minItems', 'minimum', 'exclusiveMinimum'])
const LOWER: ReadonlySet<string> = new Set(['maxLength', 'maxItems', 'maximum', 'exclusiveMaximum'])
/** Keywords whose value is a schema that both must hold. */
const NESTED: ReadonlySet<string> = new Set(['items', 'propertyNames', 'additionalProperties'])

/** @throws SchemaProblem where a keyword of both says two different things */
export function merged(a: SchemaObject, b: SchemaObject, path: string): SchemaObject {
  const result: Record<string, unknown> = { ...a }
  for (const [key, value] of Object.entries(b)) {
    if (!Object.hasOwn(a, key) || ANNOTATIONS.has(key)) result[key] = value
    else if (!isSame(a[key], value)) result[key] = mergedKeyword(key, a[key], value, path)
  }
  if (isObject(a.properties) || isObject(b.properties)) result.properties = mergedProperties(a, b)
  return result
}

function mergedKeyword(key: string, a: unknown, b: unknown, path: string): unknown {
  if (HIGHER.has(key)) return Math.max(a as number, b as number)
  if (LOWER.has(key)) return Math.min(a as number, b as number)
  if (NESTED.has(key)) return { allOf: [a, b] }
  if (key === 'properties') return undefined // Written by mergedProperties.
  if (key === 'uniqueItems') return true
  if (key === 'allOf' && Array.isArray(a) && Array.isArray(b)) return [...a, ...b]
  if (key === 'required' && Array.isArray(a) && Array.isArray(b)) return [...new Set([...a, ...b])]
  if (key === 'enum' && Array.isArray(a) && Array.isArray(b)) {
    return a.filter((value) => b.some((other) => isSame(value, other)))
  }
  if (key === 'type') return commonTypes(typesOf(a), typesOf(b))
  if (key === 'const') return notBoth(path, key)
  return notBoth(path, key)
}

function notBoth(path: string, key: string): never {
  throw new SchemaProblem(
    `${path}.${key}`,
    'is given twice with different values that cannot be joined; give it once',
  )
}

/** Where one side says what becomes of properties it does not name, that holds for those of the other. */
function mergedProperties(a: SchemaObject, b: SchemaObject): SchemaObject {
  const [own, other] = [a, b].map(({ properties }) => (isObject(properties) ? properties : {})) as [
    SchemaObject,
    SchemaObject,
  ]
  const names = new Set([...Object.keys(own), ...Object.keys(other)])
  const schemas = [...names].map((name): [string, unknown] => {
    const said = [own, other].map((properties, i): unknown =>
      Object.hasOwn(properties, name) ? properties[name] : [a, b][i]!.additionalProperties,
    )
    const [first, second] = said
    if (first === undefined || second === undefined || isSame(first, second)) return [name, first ?? second]
    return [name, { allOf: said }]
  })
  return Object.fromEntries(schemas)
}

/** True when no value can be valid against both, as far as their types and constants tell. */
export function areDisjoint(a: unknown, b: unknown): boolean {
  if (a === false || b === false) return true
  if (!isObject(a) || !isObject(b)) return false
  const [constantsA, constantsB] = [constantsOf(a), constantsOf(b)]
  if (constantsA && constantsB)
    return !constantsA.some((value) => constantsB.some((other) => isSame(value, other)))
  const [typesA, typesB] = [
    constantsA?.map(typeOf) ?? typesOf(a.type),
    constantsB?.map(typeOf) ?? typesOf(b.type),
  ]
  if (typesA.length === 0 || typesB.length === 0) return false
  if (commonTypes(typesA, typesB).length === 0) return true
  const onlyObjects = [...typesA, ...typesB].every((type) => type === 'object')
  return onlyObjects && (isKeptOut(a, b) || isKeptOut(b, a))
}

/** True when a property that every value of one must have is against the other. */
function isKeptOut(one: SchemaObject, other: SchemaObject): boolean {
  const own = isObject(one.properties) ? one.properties : {}
  const others = isObject(other.properties) ? other.properties : {}
  return (Array.isArray(one.required) ? one.required : []).some((name: string) =>
    Object.hasOwn(others, name)
      ? Object.hasOwn(own, name) && areDisjoint(own[name], others[name])
      : other.additionalProperties === false,
  )
}

function constantsOf(schema: SchemaObject): readonly unknown[] | undefined {
  if (Object.hasOwn(schema, 'const')) return [schema.const]
  return Array.isArray(schema.enum) ? schema.enum : undefined
}

export function typesOf(type: unknown): readonly JsonType[] {
  return type === undefined ? [] : ((Array.isArray(type) ? type : [type]) as JsonType[])
}

function commonTypes(a: readonly JsonType[], b: readonly JsonType[]): JsonType[] {
  const all = [...a.filter((type) => b.includes(type))]
  const integers =
    (a.includes('integer') && b.includes('number')) || (a.includes('number') && b.includes('integer'))
  return integers && !all.includes('integer') && !all.includes('number') ? [...all, 'integer'] : all
}

/** The narrowest type of a JSON value. */
export function typeOf(value: unknown): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value as JsonType
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  )
}
