/** What each keyword of JSON Schema is to us: enforced, said to people only, or refused. */

/** By the type of value they speak of; `any` holds those that speak of all. */
const ENFORCED = {
  any: ['type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', '$ref'],
  object: ['properties', 'required', 'additionalProperties', 'propertyNames'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems'],
  string: ['pattern', 'format', 'minLength', 'maxLength'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
} as const

/** They say nothing about which values are valid, or only name what a `$ref` means. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([
  '$comment',
  '$defs',
  '$id',
  '$schema',
  'default',
  'definitions',
  'deprecated',
  'description',
  'example',
  'examples',
  'readOnly',
  'title',
  'writeOnly',
])

const KNOWN: ReadonlySet<string> = new Set(Object.values(ENFORCED).flat())

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null'

export const TYPES: readonly JsonType[] = [
  'object',
  'array',
  'string',
  'number',
  'integer',
  'boolean',
  'null',
]

/** The first keyword that would go unheeded. */
export function refusedKeyword(schema: Readonly<Record<string, unknown>>): string | undefined {
  return Object.keys(schema).find((key) => !KNOWN.has(key) && !ANNOTATIONS.has(key))
}

/** The type that a schema without `type` is about, by the keywords it has. */
export function impliedType(schema: Readonly<Record<string, unknown>>): JsonType | undefined {
  const kinds = ['object', 'array', 'string', 'number'] as const
  return kinds.find((kind) => ENFORCED[kind].some((key) => Object.hasOwn(schema, key)))
}
