/** JSON as grammar expressions: any value, objects, lists, and what stands between their parts. */
import { EVERY_CHAR, jsonChar } from './char-set.ts'
import { alternatives, type Expression, literal, optional, repeat, sequence } from './expression.ts'
import { ANY_NUMBER } from './numbers.ts'

const SPACE = optional(literal(' '))
export const COMMA: Expression = sequence([literal(','), SPACE])
export const COLON: Expression = sequence([literal(':'), SPACE])
export const QUOTE: Expression = literal('"')
export const ANY_STRING: Expression = { type: 'rule', name: 'string' }
export const ANY_VALUE: Expression = { type: 'rule', name: 'value' }
export const ANY_OBJECT: Expression = { type: 'rule', name: 'object' }
export const ANY_ARRAY: Expression = { type: 'rule', name: 'array' }

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

export function mapOf(key: Expression, value: Expression): Expression {
  const member = sequence([key, COLON, value])
  const members = sequence([member, repeat(sequence([COMMA, member]), 0, Infinity)])
  return sequence([literal('{'), optional(members), literal('}')])
}

/** The fixed items, then `least` to `most` more. */
export function listOf(
  fixed: readonly Expression[],
  item: Expression,
  least: number,
  most: number,
): Expression {
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
