/** JSON Schema (2020-12) as grammar rules: every text they match is JSON that validates. */
import { EVERY_CHAR, jsonChar } from './char-set.ts'
import { alternatives, EMPTY, type Expression, literal, optional, repeat, sequence } from './expression.ts'
import { FORMATS } from './formats.ts'
import { ANY_INTEGER, ANY_NUMBER, integerWithin, numberWithin } from './numbers.ts'
import { PatternProblem, patternExpression } from './pattern.ts'
import { impliedType, type JsonType, refusedKeyword, TYPES } from './schema-keywords.ts'
import { areDisjoint, isObject, isSame, merged, type SchemaObject, typeOf, typesOf } from './schema-merge.ts'
import { SchemaProblem } from './schema-problem.ts'

/** Beyond these a grammar takes too much time and memory to follow. */
const MOST_DEPTH = 64
const MOST_SCHEMAS = 5_000
const MOST_VALUES = 2_000
const MOST_COUNT = 100_000
/** Numbers have at most 15 digits, which a double always keeps. */
const MOST_MAGNITUDE = 1e15

const SPACE = optional(literal(' '))
export const COMMA: Expression = sequence([literal(','), SPACE])
export const COLON: Expression = sequence([literal(':'), SPACE])
const QUOTE = literal('"')
const ANY_STRING: Expression = { type: 'rule', name: 'string' }
const ANY_VALUE: Expression = { type: 'rule', name: 'value' }
const ANY_OBJECT: Expression = { type: 'rule', name: 'object' }
const ANY_ARRAY: Expression = { type: 'rule', name: 'array' }

/** The rules that the others refer to: any JSON. */
export const JSON_RULES: ReadonlyMap<string, Expression> = new Map<string, Expression>([
  ['string', sequence([QUOTE, repeat(jsonChar(EVERY_CHAR), 0, Infinity), QUOTE])],
  ['object', mapOf(ANY_STRING, ANY_VALUE)],
  ['array', listOf([], ANY_VALUE, 0, Infinity)],
  [
    'value',
    alternatives([ANY_OBJECT, ANY_ARRAY, ANY_STRING, ANY_NUMBER, ...['true', 'false', 'null'].map(literal)]),
  ],
])

/**
 * Reads one schema; its named parts become rules.
 *
 * @param prefix of the rules' names
 * @throws SchemaProblem for a keyword that would go unheeded, and for what is no schema
 */
export function readSchema(schema: unknown, rules: Map<string, Expression>, prefix: string): Expression {
  return new SchemaReader(schema, rules, prefix).read(schema, '', 0)
}

class SchemaReader {
  readonly #root: unknown
  readonly #rules: Map<string, Expression>
  readonly #prefix: string
  /** Rules by the `$ref` that leads to them. */
  readonly #named = new Map<string, string>()
  /** References being read since the last brace or bracket: meeting one again adds no value. */
  #open: ReadonlySet<string> = new Set()
  #count = 0

  constructor(root: unknown, rules: Map<string, Expression>, prefix: string) {
    this.#root = root
    this.#rules = rules
    this.#prefix = prefix
  }

  read(schema: unknown, path: string, depth: number): Expression {
    if (depth > MOST_DEPTH)
      throw new SchemaProblem(path, `is nested more than ${MOST_DEPTH} schemas deep; flatten it`)
    if (++this.#count > MOST_SCHEMAS)
      throw new SchemaProblem('', `holds more than ${MOST_SCHEMAS} schemas; make it smaller`)
    if (schema === true) return ANY_VALUE
    if (schema === false) return alternatives([])
    if (!isObject(schema)) throw new SchemaProblem(path, 'must be a JSON Schema: an object, true or false')
    const refused = refusedKeyword(schema)
    if (refused !== undefined) throw unsupported(path, refused)
    const { $ref: ref, allOf, anyOf, oneOf, ...rest } = schema
    if (ref !== undefined) return this.#reference(ref, { ...without(schema, '$ref') }, path, depth)
    if (allOf !== undefined) {
      const parts = this.#branches(allOf, `${path}.allOf`)
      const whole = parts.reduce(
        (sum: SchemaObject, part, i) => {
          const at = `${path}.allOf[${i}]`
          return part === true ? sum : merged(sum, this.#resolved(part, at), at)
        },
        without(schema, 'allOf'),
      )
      return this.read(whole, path, depth + 1)
    }
    for (const [key, choices] of [
      ['anyOf', anyOf],
      ['oneOf', oneOf],
    ] as const) {
      if (choices === undefined) continue
      const branches = this.#branches(choices, `${path}.${key}`)
      if (key === 'oneOf') this.#assertDisjoint(branches, `${path}.oneOf`)
      const base = without(schema, key)
      return alternatives(
        branches.map((branch, i) => this.#choice(base, branch, `${path}.${key}[${i}]`, depth)),
      )
    }
    return this.#plain(rest, path, depth)
  }

  /** A branch of anyOf, within what stands beside it. */
  #choice(base: SchemaObject, branch: unknown, path: string, depth: number): Expression {
    if (typeof branch === 'boolean') return branch ? this.read(base, path, depth + 1) : alternatives([])
    if (
      Object.keys(base).every(
        (key) => key === '$defs' || key === 'definitions' || key === 'description' || key === 'title',
      )
    ) {
      return this.read(branch, path, depth + 1)
    }
    return this.read(merged(base, this.#resolved(branch, path), path), path, depth + 1)
  }

  #branches(value: unknown, path: string): readonly unknown[] {
    if (!Array.isArray(value) || value.length === 0)
      throw new SchemaProblem(path, 'must be a list of schemas')
    return value
  }

  #assertDisjoint(branches: readonly unknown[], path: string): void {
    const schemas = branches.map((branch, i) =>
      isObject(branch) ? this.#resolved(branch, `${path}[${i}]`) : branch,
    )
    for (const [i, schema] of schemas.entries()) {
      const rival = schemas.findIndex((other, j) => j > i && !areDisjoint(schema, other))
      if (rival < 0) continue
      throw new SchemaProblem(
        path,
        `cannot be enforced, since entries ${i} and ${rival} may both hold; use anyOf, or give each a required property with a const of its own`,
      )
    }
  }

  /** The schema behind a chain of references, with what stands beside them. */
  #resolved(schema: unknown, path: string): SchemaObject {
    let result = schema
    const seen = new Set<unknown>()
    while (isObject(result) && result.$ref !== undefined) {
      if (seen.has(result.$ref)) throw new SchemaProblem(path, 'refers only to itself')
      seen.add(result.$ref)
      const target = this.#target(result.$ref, path)
      result = isObject(target) ? merged(target, without(result, '$ref'), path) : target
    }
    if (result === true) return {}
    if (!isObject(result)) throw new SchemaProblem(path, 'must be a JSON Schema object here')
    return result
  }

  #reference(ref: unknown, beside: SchemaObject, path: string, depth: number): Expression {
    const target = this.#target(ref, path)
    if (
      Object.keys(beside).some(
        (key) => !['description', 'title', 'default', '$defs', 'definitions', '$schema', '$id'].includes(key),
      )
    ) {
      return this.read(
        merged(isObject(target) ? target : this.#resolved(target, path), beside, path),
        path,
        depth + 1,
      )
    }
    const key = ref as string
    if (this.#open.has(key)) return alternatives([])
    let name = this.#named.get(key)
    if (name === undefined) {
      name = `${this.#prefix}${this.#named.size}`
      this.#named.set(key, name)
      const before = this.#open
      this.#open = new Set([...before, key])
      this.#rules.set(name, this.read(target, refPath(key), 0))
      this.#open = before
    }
    return { type: 'rule', name }
  }

  #target(ref: unknown, path: string): unknown {
    if (typeof ref !== 'string') throw new SchemaProblem(`${path}.$ref`, 'must be a string')
    if (!/^#(?:\/|$)/.test(ref))
      throw new SchemaProblem(`${path}.$ref`, 'must point into this schema, for example "#/$defs/name"')
    let target = this.#root
    for (const part of ref.split('/').slice(1)) {
      const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
      const found = typeof target === 'object' && target !== null && Object.hasOwn(target, name)
      if (!found)
        throw new SchemaProblem(`${path}.$ref`, `points to ${ref.slice(0, 100)}, which is not there`)
      target = (target as Record<string, unknown>)[name]
    }
    return target
  }

  /** Inside braces and brackets a reference may lead back: something has been written on the way. */
  #inside<T>(read: () => T): T {
    const before = this.#open
    this.#open = new Set()
    try {
      return read()
    } finally {
      this.#open = before
    }
  }

  #plain(schema: SchemaObject, path: string, depth: number): Expression {
    const types = this.#types(schema, path)
    if (schema.enum !== undefined || Object.hasOwn(schema, 'const')) return constants(schema, types, path)
    return alternatives(types.map((type) => this.#ofType(type, schema, path, depth)))
  }

  #types(schema: SchemaObject, path: string): readonly JsonType[] {
    if (schema.type === undefined) {
      const implied = impliedType(schema)
      return implied ? [implied] : TYPES.filter((type) => type !== 'integer')
    }
    const types = typesOf(schema.type)
    if (types.every((type) => TYPES.includes(type))) return types
    throw new SchemaProblem(`${path}.type`, `must be one of ${TYPES.join(', ')}, or a list of them`)
  }

  #ofType(type: JsonType, schema: SchemaObject, path: string, depth: number): Expression {
    switch (type) {
      case 'object':
        return this.#object(schema, path, depth)
      case 'array':
        return this.#array(schema, path, depth)
      case 'string':
        return stringOf(schema, path)
      case 'number':
      case 'integer':
        return numberOf(type, schema, path)
      case 'boolean':
        return alternatives([literal('true'), literal('false')])
      case 'null':
        return literal('null')
    }
  }

  #object(schema: SchemaObject, path: string, depth: number): Expression {
    const {
      properties = {},
      required = [],
      additionalProperties: others = true,
      propertyNames: names,
    } = schema
    if (!isObject(properties)) throw new SchemaProblem(`${path}.properties`, 'must be an object of schemas')
    if (!isTexts(required)) throw new SchemaProblem(`${path}.required`, 'must be a list of names')
    const listed = Object.keys(properties)
    const unlisted = required.filter((name) => !Object.hasOwn(properties, name))
    // With properties and not a word on others, none is what the writer has in mind.
    const closed = schema.properties !== undefined && schema.additionalProperties === undefined
    if (listed.length + unlisted.length === 0 && !closed) {
      if (others === true && names === undefined) return ANY_OBJECT
      return this.#inside(() => {
        const key = names === undefined ? ANY_STRING : this.#name(names, `${path}.propertyNames`, depth)
        return mapOf(key, this.read(others, `${path}.additionalProperties`, depth + 1))
      })
    }
    if (names !== undefined && !isSame(names, { type: 'string' })) {
      throw new SchemaProblem(
        `${path}.propertyNames`,
        'cannot be enforced beside properties; leave one of them out',
      )
    }
    return this.#inside(() => {
      const members = [...listed, ...unlisted].map((name): Member => {
        const own = Object.hasOwn(properties, name)
        const at = own ? `${path}.properties${step(name)}` : `${path}.additionalProperties`
        const value = this.read(own ? properties[name] : others, at, depth + 1)
        return {
          text: sequence([literal(JSON.stringify(name)), COLON, value]),
          required: required.includes(name),
        }
      })
      return this.#members(members)
    })
  }

  #name(schema: unknown, path: string, depth: number): Expression {
    if (schema === true) return ANY_STRING
    const resolved = this.#resolved(schema, path)
    return this.read(merged(resolved, { type: 'string' }, path), path, depth + 1)
  }

  /** In the order of the schema; a rule for each place, so that the grammar stays as long as the list. */
  #members(members: readonly Member[]): Expression {
    let first: Expression = EMPTY
    let later: Expression = EMPTY
    for (const { text, required } of members.toReversed()) {
      const rest = this.#rule(later)
      const skipped = first
      const then = sequence([COMMA, text, rest])
      first = required ? sequence([text, rest]) : alternatives([sequence([text, rest]), this.#rule(skipped)])
      later = required ? then : alternatives([then, rest])
    }
    return sequence([literal('{'), first, literal('}')])
  }

  #rule(body: Expression): Expression {
    if (body.type === 'rule' || body === EMPTY) return body
    const name = `${this.#prefix}p${this.#rules.size}`
    this.#rules.set(name, body)
    return { type: 'rule', name }
  }

  #array(schema: SchemaObject, path: string, depth: number): Expression {
    const { items = true, prefixItems: prefix = [], uniqueItems = false } = schema
    if (!Array.isArray(prefix)) throw new SchemaProblem(`${path}.prefixItems`, 'must be a list of schemas')
    if (Array.isArray(items))
      throw new SchemaProblem(`${path}.items`, 'must be one schema; put a list of them into prefixItems')
    const [least, most] = counts(schema, 'minItems', 'maxItems', path)
    if (uniqueItems !== false && most > 1) throw unsupported(path, 'uniqueItems')
    if (prefix.length === 0 && items === true && least === 0 && most === Infinity) return ANY_ARRAY
    return this.#inside(() => {
      const fixed = prefix
        .slice(0, most)
        .map((item, i) => this.read(item, `${path}.prefixItems[${i}]`, depth + 1))
      const closed = fixed.length > 0 && schema.items === undefined && least <= fixed.length
      const item = this.read(closed ? false : items, `${path}.items`, depth + 1)
      return listOf(fixed, item, Math.max(0, least - fixed.length), closed ? 0 : most - fixed.length)
    })
  }
}

interface Member {
  readonly text: Expression
  readonly required: boolean
}

function mapOf(key: Expression, value: Expression): Expression {
  const member = sequence([key, COLON, value])
  const members = sequence([member, repeat(sequence([COMMA, member]), 0, Infinity)])
  return sequence([literal('{'), optional(members), literal('}')])
}

/** The fixed items, then `least` to `most` more. */
function listOf(fixed: readonly Expression[], item: Expression, least: number, most: number): Expression {
  const parts = fixed.flatMap((one, i) => (i === 0 ? [one] : [COMMA, one]))
  const more = (from: number): Expression =>
    repeat(sequence([COMMA, item]), Math.max(0, least - from), most - from)
  let inner: Expression
  if (most <= 0) inner = sequence(parts)
  else if (parts.length > 0) inner = sequence([...parts, more(0)])
  else {
    const some = sequence([item, more(1)])
    inner = least === 0 ? optional(some) : some
  }
  return sequence([literal('['), inner, literal(']')])
}

function stringOf(schema: SchemaObject, path: string): Expression {
  const { pattern, format } = schema
  const [least, most] = counts(schema, 'minLength', 'maxLength', path)
  const given = ['pattern', 'format'].filter((key) => schema[key] !== undefined)
  if (least > 0 || most < Infinity) given.push('minLength and maxLength')
  if (given.length > 1) {
    throw new SchemaProblem(
      `${path}.${given[0]}`,
      `cannot be enforced together with ${given.slice(1).join(' and ')}; keep one of them`,
    )
  }
  if (format !== undefined) {
    if (typeof format !== 'string' || !Object.hasOwn(FORMATS, format)) {
      throw new SchemaProblem(
        `${path}.format`,
        `must be one of ${Object.keys(FORMATS).join(', ')}; this server enforces no other`,
      )
    }
    return quoted(patternExpression(FORMATS[format]!))
  }
  if (pattern !== undefined) {
    if (typeof pattern !== 'string') throw new SchemaProblem(`${path}.pattern`, 'must be a string')
    return quoted(read(pattern, `${path}.pattern`))
  }
  return least === 0 && most === Infinity ? ANY_STRING : quoted(repeat(jsonChar(EVERY_CHAR), least, most))
}

function read(pattern: string, path: string): Expression {
  try {
    return patternExpression(pattern)
  } catch (error) {
    if (!(error instanceof PatternProblem)) throw error
    throw new SchemaProblem(
      path,
      `${error.message}, which cannot be enforced; write it otherwise or leave it out`,
    )
  }
}

function quoted(inner: Expression): Expression {
  return sequence([QUOTE, inner, QUOTE])
}

function numberOf(type: 'number' | 'integer', schema: SchemaObject, path: string): Expression {
  /** Bounds beyond what is ever written bind nothing: generators give those of safe integers. */
  const bound = (key: string, side: -1 | 1): number | undefined => {
    const value = schema[key]
    if (value === undefined) return undefined
    if (typeof value === 'number' && Math.abs(value) < MOST_MAGNITUDE) return value
    if (typeof value === 'number' && Math.sign(value) === side) return undefined
    throw new SchemaProblem(`${path}.${key}`, 'must be a number of at most 15 digits before the point')
  }
  const step = schema.multipleOf
  const whole = type === 'integer' || step === 1
  if (step !== undefined && step !== 1) throw unsupported(path, 'multipleOf')
  const [minimum, exclusiveMinimum] = [bound('minimum', -1), bound('exclusiveMinimum', -1)]
  const [maximum, exclusiveMaximum] = [bound('maximum', 1), bound('exclusiveMaximum', 1)]
  const above = exclusiveMinimum !== undefined && exclusiveMinimum >= (minimum ?? -Infinity)
  const below = exclusiveMaximum !== undefined && exclusiveMaximum <= (maximum ?? Infinity)
  const least = above ? exclusiveMinimum : minimum
  const most = below ? exclusiveMaximum : maximum
  if (least === undefined && most === undefined) return whole ? ANY_INTEGER : ANY_NUMBER
  const bounds = { above, below, ...(least !== undefined && { least }), ...(most !== undefined && { most }) }
  return whole ? integerWithin(bounds) : numberWithin(bounds)
}

/** `enum` and `const`, as far as `type` lets them. */
function constants(schema: SchemaObject, types: readonly JsonType[], path: string): Expression {
  const { enum: list, const: constant, type, ...others } = schema
  const beside = impliedType(others)
  if (beside !== undefined) {
    throw new SchemaProblem(path, 'has enum or const beside other limits on the value; leave those out')
  }
  if (list !== undefined && (!Array.isArray(list) || list.length > MOST_VALUES)) {
    throw new SchemaProblem(`${path}.enum`, `must be a list of at most ${MOST_VALUES} values`)
  }
  const isConst = Object.hasOwn(schema, 'const')
  const values = ((list as unknown[] | undefined) ?? [constant]).filter(
    (value) =>
      (!isConst || isSame(value, constant)) &&
      (type === undefined ||
        types.includes(typeOf(value)) ||
        (types.includes('number') && typeof value === 'number')),
  )
  return alternatives(values.map((value) => literal(JSON.stringify(value))))
}

function counts(schema: SchemaObject, min: string, max: string, path: string): [number, number] {
  const [least, most] = [min, max].map((key) => {
    const value = schema[key]
    if (value === undefined) return undefined
    if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MOST_COUNT)
      return value as number
    throw new SchemaProblem(`${path}.${key}`, `must be a whole number from 0 to ${MOST_COUNT} to be enforced`)
  })
  return [least ?? 0, most ?? Infinity]
}

function unsupported(path: string, keyword: string): SchemaProblem {
  return new SchemaProblem(`${path}${step(keyword)}`, 'is a keyword this server cannot enforce; leave it out')
}

function without(schema: SchemaObject, key: string): SchemaObject {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== key))
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function step(name: string): string {
  return /^\$?\w{1,64}$/.test(name) ? `.${name}` : `[${JSON.stringify(name.slice(0, 64))}]`
}

function refPath(ref: string): string {
  return ref.slice(1).replaceAll('/', '.')
}
