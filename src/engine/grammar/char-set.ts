/** Sets of characters as ranges of code points, and how JSON strings spell them. */
import { alternatives, type Expression, literal } from './expression.ts'

/** Inclusive, ascending, neither touching nor overlapping; never a surrogate. */
export type CharSet = readonly (readonly [from: number, to: number])[]

const LAST = 0x10ffff
const SURROGATES = [0xd800, 0xdfff] as const

export function charSet(...ranges: readonly (readonly [from: number, to: number])[]): CharSet {
  const sorted = ranges.filter(([from, to]) => from <= to).toSorted((a, b) => a[0] - b[0])
  const joined: [number, number][] = []
  for (const [from, to] of sorted) {
    const last = joined.at(-1)
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else joined.push([from, to])
  }
  return joined.flatMap(([from, to]): [number, number][] =>
    from <= SURROGATES[1] && to >= SURROGATES[0]
      ? (
          [
            [from, SURROGATES[0] - 1],
            [SURROGATES[1] + 1, to],
          ] as [number, number][]
        ).filter(([start, end]) => start <= end)
      : [[from, to]],
  )
}

export function charsOf(text: string): CharSet {
  return charSet(
    ...Array.from(text, (char): [number, number] => [char.codePointAt(0)!, char.codePointAt(0)!]),
  )
}

export function union(...sets: readonly CharSet[]): CharSet {
  return charSet(...sets.flat())
}

export function complement(set: CharSet): CharSet {
  const gaps: [number, number][] = []
  let next = 0
  for (const [from, to] of set) {
    gaps.push([next, from - 1])
    next = to + 1
  }
  return charSet(...gaps, [next, LAST])
}

export const EVERY_CHAR: CharSet = charSet([0, LAST])

/** Characters that a JSON string may hold as they are. */
const PLAIN_GAPS: CharSet = charSet([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c])

/** The short escapes of JSON that stand for what cannot be written plainly. */
const ESCAPES: readonly (readonly [char: string, escape: string])[] = [
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\b', '\\b'],
  ['\f', '\\f'],
]

/** One character of a JSON string. Control characters without a short escape are never written. */
export function jsonChar(set: CharSet): Expression {
  const plain = intersection(set, complement(PLAIN_GAPS))
  const escapes = ESCAPES.filter(([char]) => has(set, char.codePointAt(0)!)).map(([, spelling]) =>
    literal(spelling),
  )
  const chars: Expression[] = plain.length ? [{ type: 'chars', set: plain }] : []
  return alternatives([...chars, ...escapes])
}

function intersection(a: CharSet, b: CharSet): CharSet {
  return complement(union(complement(a), complement(b)))
}

function has(set: CharSet, char: number): boolean {
  return set.some(([from, to]) => char >= from && char <= to)
}
