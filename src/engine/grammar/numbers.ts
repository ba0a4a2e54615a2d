/** Integers and numbers between bounds, as the decimal digits JSON writes. */
import { charSet } from './char-set.ts'
import { alternatives, EMPTY, type Expression, literal, optional, repeat, sequence } from './expression.ts'

export interface Bounds {
  readonly least?: number
  readonly most?: number
  /** Whether `least` and `most` themselves are left out. */
  readonly above?: boolean
  readonly below?: boolean
}

/** Decimal digits a double always keeps: so a text's order is its number's order. */
const EXACT_DIGITS = 15
/** Where a side of a number's range is open, so that there is room for a fraction. */
const OPEN_DIGITS = 9

const DIGIT: Expression = { type: 'chars', set: charSet([0x30, 0x39]) }
const digits = (least: number, most: number): Expression => repeat(DIGIT, least, most)
const between = (from: number, to: number): Expression =>
  from === to ? literal(String(from)) : { type: 'chars', set: charSet([0x30 + from, 0x30 + to]) }

const NATURAL = alternatives([literal('0'), sequence([between(1, 9), digits(0, EXACT_DIGITS - 1)])])

export const ANY_INTEGER: Expression = alternatives([
  NATURAL,
  sequence([literal('-'), between(1, 9), digits(0, EXACT_DIGITS - 1)]),
])

export const ANY_NUMBER: Expression = sequence([
  optional(literal('-')),
  NATURAL,
  optional(sequence([literal('.'), digits(1, EXACT_DIGITS)])),
  optional(
    sequence([
      alternatives([literal('e'), literal('E')]),
      optional(alternatives([literal('+'), literal('-')])),
      digits(1, 2),
    ]),
  ),
])

/** Whole numbers within the bounds; nothing where there are none. */
export function integerWithin({ least, most, above = false, below = false }: Bounds): Expression {
  const limit = 10 ** EXACT_DIGITS - 1
  const from = least === undefined ? -limit : above ? Math.floor(least) + 1 : Math.ceil(least)
  const to = most === undefined ? limit : below ? Math.ceil(most) - 1 : Math.floor(most)
  const parts: Expression[] = []
  if (from < 0 && from <= to) {
    parts.push(sequence([literal('-'), naturals(Math.max(1, -to), Math.min(-from, limit))]))
  }
  if (to >= 0 && from <= to) parts.push(naturals(Math.max(from, 0), Math.min(to, limit)))
  return alternatives(parts)
}

/** Numbers within the bounds, without exponents. */
export function numberWithin(bounds: Bounds): Expression {
  const { least, most, above = false, below = false } = bounds
  const largest = Math.max(Math.abs(least ?? 0), Math.abs(most ?? 0))
  const limit = 10 ** (largest < 10 ** OPEN_DIGITS - 1 ? OPEN_DIGITS : EXACT_DIGITS) - 1
  const from = least ?? -limit
  const to = most ?? limit
  const parts: Expression[] = []
  if (from < 0) {
    const near = to < 0 ? { value: -to, open: below } : { value: 0, open: true }
    parts.push(sequence([literal('-'), magnitudes(near, { value: -from, open: above })]))
  }
  if (to >= 0) {
    const near = from >= 0 ? { value: from, open: above } : { value: 0, open: false }
    parts.push(magnitudes(near, { value: to, open: below }))
  }
  return alternatives(parts)
}

interface End {
  readonly value: number
  readonly open: boolean
}

/** Decimals from one magnitude to another, both at least 0. */
function magnitudes(from: End, to: End): Expression {
  if (from.value > to.value || (from.value === to.value && (from.open || to.open))) return alternatives([])
  const low = decimal(from.value)
  const high = decimal(to.value)
  const room = Math.max(0, EXACT_DIGITS - String(high.whole).length)
  const fraction = (atLow: boolean, atHigh: boolean): Expression =>
    fractions(
      atLow ? { digits: low.fraction, open: from.open } : undefined,
      atHigh ? { digits: high.fraction, open: to.open } : undefined,
      room,
    )
  if (low.whole === high.whole) return sequence([literal(String(low.whole)), fraction(true, true)])
  return alternatives([
    sequence([literal(String(low.whole)), fraction(true, false)]),
    sequence([naturals(low.whole + 1, high.whole - 1), fraction(false, false)]),
    sequence([literal(String(high.whole)), fraction(false, true)]),
  ])
}

interface Edge {
  /** Of the fraction, without zeros at its end. */
  readonly digits: string
  readonly open: boolean
}

/** What may follow the whole part: nothing, or a point and up to `room` digits, between the edges that still bind. */
function fractions(low: Edge | undefined, high: Edge | undefined, room: number): Expression {
  const mayEnd = (at: number, low: Edge | undefined, high: Edge | undefined): boolean =>
    (!low || (at >= low.digits.length && !low.open)) && (!high?.open || at < high.digits.length)
  const rest = (at: number, low: Edge | undefined, high: Edge | undefined): Expression => {
    if (!low && !high) return digits(at === 0 ? 1 : 0, room - at)
    const ways: Expression[] = at > 0 && mayEnd(at, low, high) ? [EMPTY] : []
    if (at < room) {
      const from = low ? Number(low.digits[at] ?? 0) : 0
      const to = high ? Number(high.digits[at] ?? 0) : 9
      for (let digit = from; digit <= to; digit++) {
        const next = rest(at + 1, digit === from ? low : undefined, digit === to ? high : undefined)
        ways.push(sequence([literal(String(digit)), next]))
      }
    }
    return alternatives(ways)
  }
  const ways: Expression[] = room > 0 ? [sequence([literal('.'), rest(0, low, high)])] : []
  return alternatives(mayEnd(0, low, high) ? [EMPTY, ...ways] : ways)
}

/** Whole numbers from one to another, both at least 0, without leading zeros. */
function naturals(from: number, to: number): Expression {
  const parts: Expression[] = []
  for (let start = from; start <= to; ) {
    const { length } = String(start)
    const end = Math.min(to, 10 ** length - 1)
    parts.push(sameLength(String(start), String(end)))
    start = end + 1
  }
  return alternatives(parts)
}

/** Digit strings of one length, in order between two of them. */
function sameLength(from: string, to: string): Expression {
  const { length } = from
  if (length === 0) return EMPTY
  if (/^0*$/.test(from) && /^9*$/.test(to)) return digits(length, length)
  const [low, high] = [Number(from[0]), Number(to[0])]
  if (low === high) return sequence([literal(from[0]!), sameLength(from.slice(1), to.slice(1))])
  const rest = length - 1
  const middle = low + 1 <= high - 1 ? [sequence([between(low + 1, high - 1), digits(rest, rest)])] : []
  return alternatives([
    sequence([literal(from[0]!), sameLength(from.slice(1), '9'.repeat(rest))]),
    ...middle,
    sequence([literal(to[0]!), sameLength('0'.repeat(rest), to.slice(1))]),
  ])
}

/** The digits before and after the point; a value of at most 15 digits before it. */
function decimal(value: number): { readonly whole: number; readonly fraction: string } {
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e')
  const point = Number(exponent)
  const all = mantissa.replace('.', '')
  const padded = point < 0 ? '0'.repeat(-point) + all : all.padEnd(point + 1, '0')
  const cut = Math.max(point, 0) + 1
  return { whole: Number(padded.slice(0, cut)), fraction: padded.slice(cut).replace(/0+$/, '') }
}
