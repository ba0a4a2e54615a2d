/** The schemas of Kubernetes 1.36 and of some custom resources, and what of an object they do not know. */
import { readFileSync } from 'node:fs'
import type { Json, JsonObject } from '../../../deploy/target.ts'

export interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly enum?: readonly Json[]
  readonly default?: Json
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly pattern?: string
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular'
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-group-version-kind'?: readonly Kind[]
}

export interface Kind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

export interface CustomKind {
  readonly group: string
  readonly names: { readonly kind: string; readonly plural: string; readonly singular: string }
  readonly scope: 'Namespaced' | 'Cluster'
  readonly versions: readonly {
    readonly name: string
    readonly storage: boolean
    readonly subresources: Readonly<Record<string, unknown>>
    readonly schema: Schema
  }[]
}

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/kubernetes/${name}`, import.meta.url), 'utf8')

const { definitions } = JSON.parse(fixture('openapi.json')) as {
  definitions: Readonly<Record<string, Schema>>
}
/**
 * Gateways, pools and monitoring; JobSet, and what of Kueue's objects is read or written: their fields and types by
 * the CRDs of kubernetes-sigs/jobset at 08dfbdf and kubernetes-sigs/kueue at ff69552.
 */
export const CUSTOM_KINDS: readonly CustomKind[] = ['crds.json', 'batch-crds.json'].flatMap((name) =>
  Object.values(JSON.parse(fixture(name)) as Readonly<Record<string, CustomKind>>),
)
const METADATA = definitions['io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta']!

/** The schema itself, whatever it refers to. */
export function resolved(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : definitions[schema.$ref.replace('#/definitions/', '')]!
}

/** Undefined for a kind that is not among the fixtures. */
export function schemaOf(apiVersion: string, kind: string): Schema | undefined {
  const [version = '', group = ''] = apiVersion.split('/').reverse()
  const custom = CUSTOM_KINDS.find((one) => one.group === group && one.names.kind === kind)
  const own = custom?.versions.find(({ name }) => name === version)?.schema
  if (own) return { ...own, properties: { ...own.properties, metadata: METADATA } }
  return Object.values(definitions).find((one) =>
    one['x-kubernetes-group-version-kind']?.some(
      (kindOf) => kindOf.group === group && kindOf.version === version && kindOf.kind === kind,
    ),
  )
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isFree = (schema: Schema): boolean =>
  schema['x-kubernetes-preserve-unknown-fields'] === true ||
  (schema.type === 'object' && !schema.properties && schema.additionalProperties === undefined) ||
  (schema.type === undefined && !schema.properties && !schema['x-kubernetes-int-or-string'])

/** The schema of a field, undefined where there is none. */
export function fieldSchema(schema: Schema, name: string): Schema | undefined {
  const { properties, additionalProperties } = schema
  if (properties && Object.hasOwn(properties, name)) return resolved(properties[name]!)
  return typeof additionalProperties === 'object' ? resolved(additionalProperties) : undefined
}

export interface Problem {
  readonly path: string
  readonly what: 'unknown field' | 'wrong type' | 'missing' | 'bad value'
  readonly says: string
}

/** Everything about the value that the schema does not allow. */
export function problemsOf(given: Schema, value: Json, path = ''): Problem[] {
  const schema = resolved(given)
  if (isFree(schema)) return []
  if (!hasType(schema, value))
    return [{ path, what: 'wrong type', says: `expected ${schema.type}, got ${JSON.stringify(value)}` }]
  if (Array.isArray(value))
    return [
      ...bounds(schema, value.length, path, 'Items'),
      ...value.flatMap((one, index) =>
        schema.items ? problemsOf(schema.items, one, `${path}[${index}]`) : [],
      ),
    ]
  if (isObject(value)) return objectProblems(schema, value, path)
  return scalarProblems(schema, value, path)
}

function objectProblems(schema: Schema, value: JsonObject, path: string): Problem[] {
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`)
  return [
    ...(schema.required ?? [])
      .filter((name) => value[name] === undefined)
      .map((name): Problem => ({ path: at(name), what: 'missing', says: 'Required value' })),
    ...Object.entries(value).flatMap(([name, one]) => {
      const field = fieldSchema(schema, name)
      if (field) return problemsOf(field, one, at(name))
      return schema.additionalProperties === true
        ? []
        : [{ path: at(name), what: 'unknown field', says: 'field not declared in schema' } as const]
    }),
  ]
}

function scalarProblems(schema: Schema, value: Json, path: string): Problem[] {
  const bad = (says: string): Problem[] => [{ path, what: 'bad value', says }]
  if (schema.enum && !schema.enum.includes(value)) return bad(`supported values: ${schema.enum.join(', ')}`)
  if (typeof value === 'number') {
    if (schema.minimum !== undefined && value < schema.minimum) return bad(`less than ${schema.minimum}`)
    if (schema.maximum !== undefined && value > schema.maximum) return bad(`greater than ${schema.maximum}`)
  }
  if (typeof value === 'string') {
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
      return bad(`should match ${schema.pattern}`)
    return bounds(schema, value.length, path, 'Length')
  }
  return []
}

function bounds(schema: Schema, size: number, path: string, of: 'Items' | 'Length'): Problem[] {
  const least = schema[`min${of}`] ?? 0
  const most = schema[`max${of}`] ?? Number.POSITIVE_INFINITY
  if (size >= least && size <= most) return []
  return [{ path, what: 'bad value', says: size < least ? `at least ${least}` : `at most ${most}` }]
}

const QUANTITY = /^[+-]?\d+(\.\d+)?([kKMGTPE]i?|m|u|n|e\d+)?$/

function hasType(schema: Schema, value: Json): boolean {
  if (schema['x-kubernetes-int-or-string'] || schema.format === 'int-or-string')
    return typeof value === 'string' || Number.isInteger(value)
  switch (schema.type) {
    case 'object':
      return isObject(value)
    case 'array':
      return Array.isArray(value)
    case 'integer':
      return Number.isInteger(value)
    case 'number':
      return typeof value === 'number'
    case 'boolean':
      return typeof value === 'boolean'
    case 'string':
      // A Quantity is a text in the schema, but numbers are taken as well.
      if (schema === definitions['io.k8s.apimachinery.pkg.api.resource.Quantity'])
        return typeof value === 'number' || (typeof value === 'string' && QUANTITY.test(value))
      return typeof value === 'string'
    default:
      return true
  }
}
