/** Regular expressions of JSON Schema's `pattern`, read into grammar expressions over JSON string characters. */
import { type CharSet, charSet, charsOf, complement, EVERY_CHAR, jsonChar, union } from './char-set.ts'
import { alternatives, EMPTY, type Expression, repeat, sequence } from './expression.ts'

/** What a pattern has that cannot be enforced, in words that follow "pattern". */
export class PatternProblem extends Error {}

const DIGITS = charSet([0x30, 0x39])
const WORD = union(DIGITS, charSet([0x41, 0x5a], [0x61, 0x7a], [0x5f, 0x5f]))
// ECMA-262: WhiteSpace and LineTerminator.
const SPACE = charsOf(
  '\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff',
)
const LINE_ENDS = charsOf('\n\r\u2028\u2029')

const CLASSES: Readonly<Record<string, CharSet>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
}
const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', v: '\v', f: '\f', r: '\r', 0: '\0' }

/** Above these a grammar takes too much time and memory to follow. */
const MOST_REPEATS = 1000
const MOST_NESTING = 32

/**
 * As ECMA-262 with the `u` flag reads it. An open end matches any text there, as JSON Schema says.
 *
 * @throws PatternProblem for what is no regular expression or is not regular in the strict sense
 */
export function patternExpression(source: string): Expression {
  try {
    new RegExp(source, 'u')
  } catch (cause) {
    throw new PatternProblem('is not a regular expression', { cause })
  }
  return new PatternReader(source).read()
}

class PatternReader {
  readonly #source: readonly string[]
  #at = 0
  #nesting = 0

  constructor(source: string) {
    this.#source = Array.from(source)
  }

  read(): Expression {
    const branches = this.#branches(true)
    if (this.#at < this.#source.length) throw new PatternProblem('has a ) too many')
    return alternatives(branches)
  }

  #branches(outermost: boolean): Expression[] {
    const branches = [this.#branch(outermost)]
    while (this.#take('|')) branches.push(this.#branch(outermost))
    return branches
  }

  /** Anchors stand at the ends of an outermost branch, or they would have to be looked for everywhere. */
  #branch(outermost: boolean): Expression {
    const anything = repeat(jsonChar(EVERY_CHAR), 0, Infinity)
    const open = outermost && !this.#take('^')
    const items: Expression[] = open ? [anything] : []
    for (;;) {
      const char = this.#peek()
      if (char === undefined || char === '|' || char === ')') {
        if (outermost) items.push(anything)
        return sequence(items)
      }
      if (char === '$' && outermost && [undefined, '|'].includes(this.#source[this.#at + 1])) {
        this.#at++
        return sequence(items)
      }
      items.push(this.#quantified(this.#atom()))
    }
  }

  #atom(): Expression {
    const char = this.#next()
    if (char === '^' || char === '$') throw new PatternProblem(`has ${char} in its middle`)
    if (char === '(') return this.#group()
    if (char === '[') return jsonChar(this.#class())
    if (char === '.') return jsonChar(complement(LINE_ENDS))
    return jsonChar(char === '\\' ? this.#escape() : charsOf(char))
  }

  #group(): Expression {
    if (++this.#nesting > MOST_NESTING) throw new PatternProblem('nests its groups too deep')
    if (this.#take('?')) {
      const kind = this.#next()
      if (kind === '<' && /[\p{ID_Start}$_]/u.test(this.#peek() ?? '')) {
        while (this.#next() !== '>');
      } else if (kind !== ':') {
        throw new PatternProblem(
          kind === '=' || kind === '!' || kind === '<' ? 'looks ahead or behind' : 'sets flags',
        )
      }
    }
    const inner = alternatives(this.#branches(false))
    this.#next()
    this.#nesting--
    return inner
  }

  #quantified(item: Expression): Expression {
    const char = this.#peek()
    let counts: readonly [number, number] | undefined
    if (char === '*') counts = [0, Infinity]
    else if (char === '+') counts = [1, Infinity]
    else if (char === '?') counts = [0, 1]
    else if (char === '{') counts = this.#counts()
    if (!counts) return item
    this.#at++
    this.#take('?') // Lazy or greedy: the same texts match.
    const [least, most] = counts
    if (least > MOST_REPEATS || (most !== Infinity && most > MOST_REPEATS)) {
      throw new PatternProblem(`repeats something more than ${MOST_REPEATS} times`)
    }
    return most === 0 ? EMPTY : repeat(item, least, most)
  }

  /** Leaves the place at the closing brace. */
  #counts(): [number, number] {
    let text = ''
    this.#at++
    while (this.#peek() !== '}') text += this.#next()
    const [least = '', most] = text.split(',')
    return [Number(least), most === undefined ? Number(least) : most === '' ? Infinity : Number(most)]
  }

  #class(): CharSet {
    const negated = this.#take('^')
    const sets: CharSet[] = []
    while (!this.#take(']')) {
      const from = this.#classAtom()
      if (this.#peek() === '-' && this.#source[this.#at + 1] !== ']' && isOne(from)) {
        this.#at++
        const to = this.#classAtom()
        sets.push(charSet([from[0]![0], to[0]![1]]))
      } else sets.push(from)
    }
    return negated ? complement(union(...sets)) : union(...sets)
  }

  #classAtom(): CharSet {
    const char = this.#next()
    if (char !== '\\') return charsOf(char)
    if (this.#take('b')) return charsOf('\b')
    if (this.#take('-')) return charsOf('-')
    return this.#escape()
  }

  #escape(): CharSet {
    const char = this.#next()
    if (Object.hasOwn(CLASSES, char)) return CLASSES[char]!
    if (Object.hasOwn(CONTROLS, char)) return charsOf(CONTROLS[char]!)
    if (char === 'x') return this.#code(2)
    if (char === 'u') return this.#peek() === '{' ? this.#braced() : this.#code(4)
    if (char === 'c')
      return charSet([this.#next().charCodeAt(0) % 32].map((code): [number, number] => [code, code])[0]!)
    if (char === 'b' || char === 'B') throw new PatternProblem('has a word boundary')
    if (char === 'p' || char === 'P') throw new PatternProblem('asks for a Unicode property')
    if (/[1-9k]/.test(char)) throw new PatternProblem('refers back to a group')
    return charsOf(char)
  }

  #code(digits: number): CharSet {
    let text = ''
    for (let i = 0; i < digits; i++) text += this.#next()
    const code = Number.parseInt(text, 16)
    if (code < 0xd800 || code > 0xdfff) return charSet([code, code])
    throw new PatternProblem('names half a character; write it as \\u{...}')
  }

  #braced(): CharSet {
    let text = ''
    this.#at++
    for (let char = this.#next(); char !== '}'; char = this.#next()) text += char
    const code = Number.parseInt(text, 16)
    return charSet([code, code])
  }

  #peek(): string | undefined {
    return this.#source[this.#at]
  }

  #take(char: string): boolean {
    if (this.#source[this.#at] !== char) return false
    this.#at++
    return true
  }

  #next(): string {
    const char = this.#source[this.#at++]
    if (char === undefined) throw new PatternProblem('ends too early')
    return char
  }
}

function isOne(set: CharSet): boolean {
  return set.length === 1 && set[0]![0] === set[0]![1]
}
