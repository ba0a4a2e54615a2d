/** JSON Schema (2020-12) as grammar rules: every text they match is JSON that validates. */
import { alternatives, EMPTY, type Expression, literal, sequence } from './expression.ts'
import { ANY_ARRAY, ANY_OBJECT, ANY_STRING, ANY_VALUE, COLON, COMMA, listOf, mapOf } from './json-grammar.ts'
import { impliedType, type JsonType, refusedKeyword, TYPES } from './schema-keywords.ts'
import { areDisjoint, isObject, isSame, merged, type SchemaObject, typesOf } from './schema-merge.ts'
import { SchemaProblem } from './schema-problem.ts'
import { constants, counts, numberOf, step, stringOf, unsupported } from './schema-scalars.ts'

/** Beyond these a grammar takes too much time and memory to follow. */
const MOST_DEPTH = 64
const MOST_SCHEMAS = 5_000

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

function without(schema: SchemaObject, key: string): SchemaObject {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== key))
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function refPath(ref: string): string {
  return ref.slice(1).replaceAll('/', '.')
}
