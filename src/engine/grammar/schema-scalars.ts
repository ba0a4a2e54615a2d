/** Strings, numbers and constants of a JSON Schema as grammar expressions. */
import { EVERY_CHAR, jsonChar } from './char-set.ts'
import { alternatives, type Expression, literal, repeat, sequence } from './expression.ts'
import { FORMATS } from './formats.ts'
import { ANY_STRING, QUOTE } from './json-grammar.ts'
import { ANY_INTEGER, ANY_NUMBER, integerWithin, numberWithin } from './numbers.ts'
import { PatternProblem, patternExpression } from './pattern.ts'
import { impliedType, type JsonType } from './schema-keywords.ts'
import { isSame, type SchemaObject, typeOf } from './schema-merge.ts'
import { SchemaProblem } from './schema-problem.ts'

const MOST_VALUES = 2_000
const MOST_COUNT = 100_000
/** Numbers have at most 15 digits, which a double always keeps. */
const MOST_MAGNITUDE = 1e15

export function stringOf(schema: SchemaObject, path: string): Expression {
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

export function numberOf(type: 'number' | 'integer', schema: SchemaObject, path: string): Expression {
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
export function constants(schema: SchemaObject, types: readonly JsonType[], path: string): Expression {
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

export function counts(schema: SchemaObject, min: string, max: string, path: string): [number, number] {
  const [least, most] = [min, max].map((key) => {
    const value = schema[key]
    if (value === undefined) return undefined
    if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MOST_COUNT)
      return value as number
    throw new SchemaProblem(`${path}.${key}`, `must be a whole number from 0 to ${MOST_COUNT} to be enforced`)
  })
  return [least ?? 0, most ?? Infinity]
}

export function unsupported(path: string, keyword: string): SchemaProblem {
  return new SchemaProblem(`${path}${step(keyword)}`, 'is a keyword this server cannot enforce; leave it out')
}

export function step(name: string): string {
  return /^\$?\w{1,64}$/.test(name) ? `.${name}` : `[${JSON.stringify(name.slice(0, 64))}]`
}
