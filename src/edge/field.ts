/** Building blocks of the wire schemas: every mistake becomes one sentence that names the field. */
import * as v from 'valibot'
import { FacetError } from '../errors.ts'

export type Schema<T> = v.GenericSchema<unknown, T>

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

export const boolean: Schema<boolean> = v.boolean(must('true or false'))

export const text: Schema<string> = v.string(must('a string'))

export const nonEmptyText: Schema<string> = v.pipe(
  v.string(must('a string')),
  v.minLength(1, 'must not be empty; leave it out or give a text'),
)

/** @param what the range in words; default: from min to max */
export function numberIn(
  min: number,
  max: number,
  what: string = `a number from ${min} to ${max}`,
): Schema<number> {
  return v.pipe(v.number(must(what)), v.minValue(min, must(what)), v.maxValue(max, must(what)))
}

export function integerIn(
  min: number,
  max: number,
  what: string = `a whole number from ${min} to ${max}`,
): Schema<number> {
  return v.pipe(numberIn(min, max, what), v.integer(must(what)))
}

export function oneOf<const T extends string>(
  values: readonly T[],
  what: string = `one of ${values.join(', ')}`,
): Schema<T> {
  return v.picklist(values, must(what))
}

/** A list of `least` to `most` items. */
export function listOf<T>(item: Schema<T>, what: string, least: number, most: number): Schema<T[]> {
  return v.pipe(
    v.array(item, must(what)),
    v.minLength(least, 'must not be empty; give at least one entry'),
    v.maxLength(most, (issue) => `may hold at most ${most} entries, but holds ${issue.received}`),
  )
}

/** An object whose keys the pattern matches. */
export function mapOf<T>(key: RegExp, what: string, value: Schema<T>): Schema<Record<string, T>> {
  return v.pipe(
    v.custom<Record<string, unknown>>(isObject, must(what)),
    v.check((input) => Object.keys(input).every((name) => key.test(name)), must(what)),
    v.record(v.string(), value),
  )
}

/** May be left out or null, which is the same. */
export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return v.pipe(
    v.nullish(schema),
    v.transform((value) => value ?? undefined),
  )
}

/** One schema or another, by looking at the value. */
export function choose<T>(pick: (input: unknown) => Schema<T>): Schema<T> {
  return v.lazy(pick)
}

export function mapped<T, U>(schema: Schema<T>, map: (value: T) => U): Schema<U> {
  return v.pipe(schema, v.transform(map))
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
  return object as unknown as Schema<{ [K in keyof E]: v.InferOutput<E[K]> }>
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
