/** Holds one answer to a grammar: which tokens may come next, as a bitmask over the vocabulary. */
import { FacetError } from '../../errors.ts'
import { type Automaton, type State, TooAmbiguous, type Way } from './automaton.ts'
import { isPlain, type TokenTexts, type TokenTree } from './token-tree.ts'

export interface Matcher {
  /** Bit `id % 32` of word `id / 32` is set for tokens that may come next; ceil(vocabSize / 32) words. Not to be changed. */
  readonly allowed: Uint32Array
  /** True when the answer may end here. */
  readonly mayEnd: boolean
  /** @throws FacetError internal for a token that is not allowed */
  accept(id: number): void
}

/** What all matchers of one vocabulary share. */
export interface Masks {
  readonly texts: TokenTexts
  readonly eosIds: ReadonlySet<number>
  /** Of the logits. */
  readonly vocabSize: number
  /** By grammar and kind of state; the oldest go first. */
  readonly kept: Map<string, Uint32Array>
  /** By number of characters: plain tokens of at most so many. */
  readonly plain: Map<number, Uint32Array>
}

/** Masks kept: 32 kB each at a vocabulary of 256k. */
const MOST_KEPT = 512

/** A character of which only some bytes have come. */
interface Part {
  readonly bytes: readonly number[]
  /** In all. */
  readonly length: number
}

/** @param grammar its name among the masks that are kept, and the field of the request it comes from */
export function createMatcher(
  automaton: Automaton,
  { name, field }: { readonly name: string; readonly field: string },
  masks: Masks,
): Matcher {
  const { texts, eosIds } = masks
  let state = automaton.start
  let part: Part | undefined

  const told = <T>(follow: () => T): T => {
    try {
      return follow()
    } catch (error) {
      throw error instanceof TooAmbiguous ? tooAmbiguous(field, error) : error
    }
  }
  const step = (char: number): void => {
    const next = told(() => automaton.step(state, char))
    if (!next) throw forbidden()
    state = next
  }
  return {
    get allowed(): Uint32Array {
      if (!part) return told(() => maskOf(automaton, state, name, masks))
      const mask = empty(masks)
      allowBytes(state, part.bytes, masks, mask)
      return mask
    },
    get mayEnd(): boolean {
      return state.mayEnd && !part
    },
    accept: (id) => {
      if (eosIds.has(id)) return
      const byte = texts.bytes[id]!
      if (byte < 0) {
        const chars = texts.chars[id]
        if (!chars || part) throw forbidden()
        for (const char of chars) step(char)
        return
      }
      const bytes = [...(part?.bytes ?? []), byte]
      const length = part?.length ?? lengthFrom(byte)
      part = bytes.length < length ? { bytes, length } : undefined
      if (!part) step(charFrom(bytes))
    },
  }
}

function maskOf(automaton: Automaton, state: State, name: string, masks: Masks): Uint32Array {
  const { kept, texts, eosIds } = masks
  const key = `${name} ${state.kind}`
  let mask = kept.get(key)
  if (mask) return mask
  const run = automaton.run(state, plainIn)
  mask = run === undefined ? empty(masks) : plainOf(run, masks).slice()
  if (run === undefined) search(texts.plain, automaton, state, mask)
  search(texts.special, automaton, state, mask)
  allowBytes(state, [], masks, mask)
  if (state.mayEnd) for (const id of eosIds) allow(mask, id)
  kept.set(key, mask)
  const [oldest] = kept.keys()
  if (kept.size > MOST_KEPT) kept.delete(oldest!)
  return mask
}

/** Ways followed for one mask, about 0.2 s: other answers wait meanwhile. */
const MOST_WORK = 10_000_000

/** Walks the tree as far as the grammar goes along. */
function search(tree: TokenTree, automaton: Automaton, start: State, mask: Uint32Array): void {
  const { chars, depths, skips, starts, ids, roots } = tree
  const states: State[] = [start]
  let work = 0
  const walk = (from: number, to: number): void => {
    for (let node = from; node < to; ) {
      const depth = depths[node]!
      work += states[depth - 1]!.ways.length
      if (work > MOST_WORK) throw new TooAmbiguous('too many ways to follow for one token')
      const next = automaton.step(states[depth - 1]!, chars[node]!)
      if (!next) {
        node = skips[node]!
        continue
      }
      states[depth] = next
      for (let at = starts[node]!; at < starts[node + 1]!; at++) allow(mask, ids[at]!)
      node++
    }
  }
  const firsts = firstChars(start)
  if (!firsts) walk(0, chars.length)
  for (const char of firsts ?? []) {
    const node = roots.get(char)
    if (node !== undefined) walk(node, skips[node]!)
  }
}

/** Vocabularies begin with tens of thousands of characters: where few may come, only those are looked up. */
const FEW_CHARS = 1_000

function firstChars({ ways }: State): ReadonlySet<number> | undefined {
  const firsts = new Set<number>()
  for (const { char, test } of ways) {
    for (const [from, to] of test?.set ?? [[char!, char!] as const]) {
      if (firsts.size + to - from > FEW_CHARS) return undefined
      for (let code = from; code <= to; code++) firsts.add(code)
    }
  }
  return firsts
}

/** Plain tokens of at most so many characters, made once for each length that tokens have. */
export function plainOf(most: number, masks: Masks): Uint32Array {
  const { texts, plain } = masks
  const length = Math.min(most, texts.plain.height)
  let mask = plain.get(length)
  if (mask) return mask
  mask = empty(masks)
  for (const id of texts.plain.ids) if (texts.chars[id]!.length <= length) allow(mask, id)
  plain.set(length, mask)
  return mask
}

function plainIn(way: Way): 'all' | 'some' | 'none' {
  const { char, test } = way
  if (!test) return isPlain(char!) ? 'some' : 'none'
  if (PLAIN.every(([from, to]) => test.holds(from, to))) return 'all'
  return PLAIN.some(([from, to]) => mayBe(way, from, to)) ? 'some' : 'none'
}

const PLAIN = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0xd7ff],
  [0xe000, 0x10ffff],
] as const

/** Allows each byte that brings a character nearer which may come: some are in no token as a whole. */
function allowBytes(state: State, before: readonly number[], { texts }: Masks, mask: Uint32Array): void {
  const [first, last] = before.length === 0 ? [0xc2, 0xf4] : [0x80, 0xbf]
  for (let byte = first; byte <= last; byte++) {
    const id = texts.byteIds[byte]!
    if (id < 0) continue
    const [from, to] = rangeOf([...before, byte])
    if (from <= to && state.ways.some((way) => mayBe(way, from, to))) allow(mask, id)
  }
}

/** The characters whose UTF-8 begins with these bytes: no overlong forms (RFC 3629). */
function rangeOf(bytes: readonly number[]): readonly [number, number] {
  const [lead = 0, ...rest] = bytes
  const length = lengthFrom(lead)
  const missing = 6 * (length - bytes.length)
  const bits = rest.reduce((sum, byte) => (sum << 6) | (byte & 0x3f), lead & (0x7f >> length))
  const least = length === 2 ? 0x80 : length === 3 ? 0x800 : 0x10000
  return [Math.max(bits << missing, least), Math.min(((bits + 1) << missing) - 1, 0x10ffff)]
}

function mayBe({ char, test }: Way, from: number, to: number): boolean {
  if (test) return test.set.some(([start, end]) => start <= to && end >= from)
  return char! >= from && char! <= to
}

function lengthFrom(lead: number): number {
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
}

function charFrom(bytes: readonly number[]): number {
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes)).codePointAt(0)!
}

function empty({ vocabSize }: Masks): Uint32Array {
  return new Uint32Array(Math.ceil(vocabSize / 32))
}

function allow(mask: Uint32Array, id: number): void {
  mask[id >> 5]! |= 1 << (id & 31)
}

function forbidden(): FacetError {
  return new FacetError('internal', 'The answer took a token that its grammar does not allow.')
}

export function tooAmbiguous(field: string, cause: unknown): FacetError {
  return new FacetError(
    'invalid_request',
    `${field} can be read in too many ways at once to be enforced; use simpler patterns and smaller counts.`,
    { field, cause },
  )
}
