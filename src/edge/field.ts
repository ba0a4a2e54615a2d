/** Building blocks of the wire schemas: every mistake becomes one sentence that names the field. */
import * as v from 'valibot'
import { FacetError } from '../errors.ts'
import type { JsonSchema } from '../types.ts'

export type Schema<T> = v.GenericSchema<unknown, T>

/** What each schema says in the OpenAPI document: made where the schema is, so that the two cannot differ. */
interface Document {
  readonly json: { readonly [keyword: string]: unknown }
  readonly optional?: boolean
}

const documents = new WeakMap<object, Document>()

function documented<T>(schema: Schema<T>, json: Document['json'], optional: boolean = false): Schema<T> {
  documents.set(schema, { json, optional })
  return schema
}

/** With words for people. */
export function about<T>(description: string, schema: Schema<T>): Schema<T> {
  const { json, optional } = documentOf(schema)
  return documented(v.pipe(schema), { ...json, description }, optional)
}

/** A schema of the wire as JSON Schema. */
export function toJsonSchema(schema: Schema<unknown>): JsonSchema {
  return documentOf(schema).json
}

function documentOf(schema: object): Document {
  return documents.get(schema) ?? { json: {} }
}

type Issue = v.BaseIssue<unknown>

/** What an object may hold besides its fields. */
export interface Extras {
  /** Accepted and not used, because they change nothing about the answer. */
  readonly ignored?: readonly string[]
  /** Known but not supported, each with the values that ask for nothing and are let pass. */
  readonly refused?: Readonly<Record<string, readonly unknown[]>>
}

const must =
  (what: string) =>
  (issue: Issue): string =>
    `must be ${what}, but is ${shown(issue.input)}`

export const boolean: Schema<boolean> = documented(v.boolean(must('true or false')), { type: 'boolean' })

export const text: Schema<string> = documented(v.string(must('a string')), { type: 'string' })

export const nonEmptyText: Schema<string> = documented(
  v.pipe(v.string(must('a string')), v.minLength(1, 'must not be empty; leave it out or give a text')),
  { type: 'string', minLength: 1 },
)

/** A text that the pattern matches whole. */
export function textLike(pattern: RegExp, what: string): Schema<string> {
  return documented(v.pipe(v.string(must(what)), v.regex(pattern, must(what))), {
    type: 'string',
    pattern: pattern.source,
  })
}

/** @param what the range in words; default: from min to max */
export function numberIn(
  min: number,
  max: number,
  what: string = `a number from ${min} to ${max}`,
): Schema<number> {
  return documented(v.pipe(v.number(must(what)), v.minValue(min, must(what)), v.maxValue(max, must(what))), {
    type: 'number',
    minimum: min,
    maximum: max,
  })
}

export function integerIn(
  min: number,
  max: number,
  what: string = `a whole number from ${min} to ${max}`,
): Schema<number> {
  return documented(v.pipe(numberIn(min, max, what), v.integer(must(what))), {
    type: 'integer',
    minimum: min,
    maximum: max,
  })
}

export function oneOf<const T extends string>(
  values: readonly T[],
  what: string = `one of ${values.join(', ')}`,
): Schema<T> {
  return documented(v.picklist(values, must(what)), { enum: values })
}

/** A list of `least` to `most` items. */
export function listOf<T>(item: Schema<T>, what: string, least: number, most: number): Schema<T[]> {
  return documented(
    v.pipe(
      v.array(item, must(what)),
      v.minLength(least, 'must not be empty; give at least one entry'),
      v.maxLength(most, (issue) => `may hold at most ${most} entries, but holds ${issue.received}`),
    ),
    { type: 'array', items: toJsonSchema(item), minItems: least, maxItems: most },
  )
}

/** An object whose keys the pattern matches. */
export function mapOf<T>(key: RegExp, what: string, value: Schema<T>): Schema<Record<string, T>> {
  return documented(
    v.pipe(
      v.custom<Record<string, unknown>>(isObject, must(what)),
      v.check((input) => Object.keys(input).every((name) => key.test(name)), must(what)),
      v.record(v.string(), value),
    ),
    {
      type: 'object',
      propertyNames: { pattern: key.source },
      additionalProperties: toJsonSchema(value),
    },
  )
}

/** Deeper than any schema a person or a generator writes, and shallow enough for JSON.stringify. */
const MOST_DEPTH = 200

/** Any JSON Schema; whether it can be enforced is the backend's to say. */
export const jsonSchema: Schema<JsonSchema> = documented(
  v.pipe(
    v.custom<JsonSchema>(
      (input) => typeof input === 'boolean' || isObject(input),
      must('a JSON Schema: an object, true or false'),
    ),
    v.check(
      (input) => depthOf(input) <= MOST_DEPTH,
      `must not be nested more than ${MOST_DEPTH} levels deep`,
    ),
  ),
  { type: ['object', 'boolean'] },
)

/** Level by level: what is nested too deep for a function to follow must not be followed by one. */
function depthOf(value: unknown): number {
  let depth = 0
  for (let level = [value]; level.length > 0 && depth <= MOST_DEPTH; depth++) {
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
  return depth
}

/** May be left out or null, which is the same. */
export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return documented(
    v.pipe(
      v.nullish(schema),
      v.transform((value) => value ?? undefined),
    ),
    documentOf(schema).json,
    true,
  )
}

/**
 * One schema or another, by looking at the value.
 *
 * @param options what `pick` may give, for the document
 */
export function choose<T>(
  options: readonly Schema<unknown>[],
  pick: (input: unknown) => Schema<T>,
): Schema<T> {
  const jsons = options.map(toJsonSchema)
  return documented(v.lazy(pick), jsons.length === 1 ? documentOf(options[0]!).json : { anyOf: jsons })
}

export function mapped<T, U>(schema: Schema<T>, map: (value: T) => U): Schema<U> {
  return documented(v.pipe(schema, v.transform(map)), documentOf(schema).json)
}

/** An object with these fields and no others; what it does not know it refuses by name. */
export function closed<E extends Readonly<Record<string, Schema<unknown>>>>(
  entries: E,
  { ignored = [], refused = {} }: Extras = {},
): Schema<{ [K in keyof E]: v.InferOutput<E[K]> }> {
  const object = v.pipe(
    v.custom<Record<string, unknown>>(isObject, must('an object')),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      for (const [key, value] of Object.entries(dataset.value)) {
        if (Object.hasOwn(entries, key) || ignored.includes(key)) continue
        const known = Object.hasOwn(refused, key)
        if (known && (value === null || refused[key]!.some((neutral) => same(value, neutral)))) continue
        addIssue({
          message: known
            ? 'is not supported by this server yet; leave it out'
            : 'is not a parameter this server knows; check its spelling or leave it out',
          path: [{ type: 'object', origin: 'value', input: dataset.value, key, value }],
        })
        return
      }
    }),
    v.object(entries as v.ObjectEntries, 'is missing, but required'),
  )
  return documented(object as unknown as Schema<{ [K in keyof E]: v.InferOutput<E[K]> }>, {
    type: 'object',
    properties: {
      ...Object.fromEntries(Object.entries(entries).map(([name, schema]) => [name, toJsonSchema(schema)])),
      ...Object.fromEntries(ignored.map((name) => [name, { description: 'Accepted; changes nothing.' }])),
      ...Object.fromEntries(
        Object.entries(refused).map(([name, neutral]) => [name, { enum: [null, ...neutral] }]),
      ),
    },
    required: Object.keys(entries).filter((name) => !documentOf(entries[name]!).optional),
    additionalProperties: false,
  })
}

/** @throws FacetError invalid_request with the first field at fault */
export function readFields<T>(schema: Schema<T>, json: unknown): T {
  const result = v.safeParse(schema, json, { abortEarly: true, abortPipeEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const field = toPath(issue.path ?? [])
  throw field === ''
    ? new FacetError('invalid_request', `The request body ${issue.message}.`)
    : new FacetError('invalid_request', `${field} ${issue.message}.`, { field })
}

/** Leaves out the fields that are undefined. */
export function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

/** A value in a few words: a body may be large, or nested deeper than JSON.stringify can go. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/** `messages[1].content` */
function toPath(path: readonly { readonly key?: unknown }[]): string {
  return path.reduce((prefix, { key }) => {
    if (typeof key === 'number') return `${prefix}[${key}]`
    const name = String(key)
    if (!/^\w{1,64}$/.test(name)) return prefix === '' ? shown(name) : `${prefix}[${shown(name)}]`
    return prefix === '' ? name : `${prefix}.${name}`
  }, '')
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Deep equality that goes only as deep as the second value. */
function same(value: unknown, neutral: unknown): boolean {
  if (typeof neutral !== 'object' || neutral === null) return value === neutral
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== Array.isArray(neutral)) {
    return false
  }
  const entries = Object.entries(neutral)
  return (
    Object.keys(value).length === entries.length &&
    entries.every(([key, item]) => same((value as Record<string, unknown>)[key], item))
  )
}
