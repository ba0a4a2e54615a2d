/** Finds the line of a property in the source of a configuration, by reading its object literals. */
import type { Path } from '../check.ts'

export interface Place {
  /** From 1. */
  readonly line: number
  readonly column: number
}

const OPEN = '([{'
const CLOSE = ')]}'
const WORD = /[\w$]/

/**
 * Where the property stands, or the innermost of those around it that can be found: what a spread or a
 * variable brings in has no place here. Nothing where the file exports no object literal.
 */
export function locate(source: string, path: Path): Place | undefined {
  const scanner = new Scanner(source)
  const root = scanner.root()
  if (root === undefined) return undefined
  let found = root
  let value: number | undefined = root
  for (const step of path) {
    const entry: Entry | undefined = value === undefined ? undefined : scanner.entry(value, step)
    if (!entry) break
    found = entry.at
    value = entry.value
  }
  const before = source.slice(0, found).split('\n')
  return { line: before.length, column: before.at(-1)!.length + 1 }
}

interface Entry {
  /** Where its key, or a list's item, begins. */
  readonly at: number
  readonly value: number
}

class Scanner {
  readonly #source: string

  constructor(source: string) {
    this.#source = source
  }

  /** Where the exported object literal opens, directly, in defineConfig(…), or as a constant. */
  root(): number | undefined {
    const exported = this.#find(/export\s+default\s+/y)
    if (exported === undefined) return undefined
    const direct = this.#literal(exported)
    if (direct !== undefined) return direct
    const name = /^[\w$]+/.exec(this.#source.slice(exported))?.[0]
    const constant =
      name && this.#find(new RegExp(`(?:const|let|var)\\s+${name.replaceAll('$', '\\$')}\\b[^=]*=\\s*`, 'y'))
    return constant ? this.#literal(constant) : undefined
  }

  /** Goes through the entries of the literal that opens at `at`; of several with one key the last counts. */
  entry(at: number, step: string | number): Entry | undefined {
    const opening = this.#source[at]
    if (opening !== (typeof step === 'number' ? '[' : '{')) return undefined
    let found: Entry | undefined
    let index = 0
    for (
      let next = this.#skip(at + 1);
      next < this.#source.length && !CLOSE.includes(this.#source[next]!);
    ) {
      const entry = typeof step === 'number' ? { at: next, value: next } : this.#named(next, step)
      if (entry && (typeof step === 'string' || index === step)) found = entry
      index++
      next = this.#end(next)
      if (this.#source[next] === ',') next = this.#skip(next + 1)
    }
    return found
  }

  /** The entry that begins here, if it has this key: a word, a text or `['text']`. */
  #named(at: number, key: string): Entry | undefined {
    const rest = this.#source.slice(at)
    const written = /^(?:([\w$]+)|\[?\s*(['"])((?:(?!\2).)*)\2\s*\]?)/.exec(rest)
    if (!written || (written[1] ?? written[3]) !== key) return undefined
    const colon = this.#skip(at + written[0].length)
    return { at, value: this.#source[colon] === ':' ? this.#skip(colon + 1) : at }
  }

  #literal(at: number): number | undefined {
    const call = /^defineConfig\s*\(\s*/.exec(this.#source.slice(at))
    const open = this.#skip(call ? at + call[0].length : at)
    return this.#source[open] === '{' ? open : undefined
  }

  /** Behind the first match that stands outside of texts and comments. */
  #find(pattern: RegExp): number | undefined {
    for (let at = this.#skip(0); at < this.#source.length; at = this.#skip(this.#step(at))) {
      pattern.lastIndex = at
      const begins = at === 0 || !WORD.test(this.#source[at - 1]!)
      if (begins && pattern.test(this.#source)) return this.#skip(pattern.lastIndex)
    }
    return undefined
  }

  /** Where the entry that begins here ends: at a comma or the closing bracket. */
  #end(from: number): number {
    let depth = 0
    let at = from
    while (at < this.#source.length) {
      const char = this.#source[at]!
      if (depth === 0 && (char === ',' || CLOSE.includes(char))) return at
      if (OPEN.includes(char)) depth++
      if (CLOSE.includes(char)) depth--
      at = this.#skip(this.#step(at))
    }
    return at
  }

  /** One character on, or behind the text that begins here. */
  #step(at: number): number {
    const quote = this.#source[at]!
    if (!`'"\``.includes(quote)) return at + 1
    for (let end = at + 1; end < this.#source.length; end++) {
      if (this.#source[end] === '\\') end++
      else if (this.#source[end] === quote) return end + 1
    }
    return this.#source.length
  }

  /** Behind white space and comments. */
  #skip(at: number): number {
    const blank = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))*/y
    blank.lastIndex = at
    blank.test(this.#source)
    return blank.lastIndex
  }
}
