/** Follows a grammar character by character: all ways in which a text may go on, as stacks of what is still to come. */
import type { CharSet } from './char-set.ts'
import type { Expression, Rules } from './expression.ts'

/** An expression, or what is left of one, with an identity. */
type Node =
  | { readonly kind: 'empty'; readonly id: number }
  | { readonly kind: 'literal'; readonly id: number; readonly char: number; readonly tail: Node | undefined }
  | { readonly kind: 'chars'; readonly id: number; readonly test: CharTest }
  | { readonly kind: 'sequence'; readonly id: number; readonly head: Node; readonly tail: Node | undefined }
  | { readonly kind: 'alternatives'; readonly id: number; readonly items: readonly Node[] }
  | Repeat
  | { readonly kind: 'rule'; readonly id: number; readonly name: string }

interface Repeat {
  readonly kind: 'repeat'
  readonly id: number
  readonly item: Node
  readonly least: number
  readonly most: number
  /** The same with one repetition behind it. */
  less: Node | undefined
}

/** Nodes to be matched one after another. Equal stacks are the same object. */
interface Stack {
  readonly id: number
  readonly node: Node | undefined
  readonly next: Stack | undefined
  /** Equal for stacks that no single token can tell apart. */
  readonly kind: number
  readonly pushed: Map<number, Stack>
}

/** One way to go on: a character, and what follows it. */
export interface Way {
  readonly char: number | undefined
  readonly test: CharTest | undefined
  readonly next: Stack
}

/** All ways to go on from one place. Equal states are the same object. */
export interface State {
  readonly ways: readonly Way[]
  /** Whether the text may end here. */
  readonly mayEnd: boolean
  /** Equal for states that no single token can tell apart. */
  readonly kind: string
  readonly after: Map<string | number, State | undefined>
}

/** A grammar with more ways at once than this is too ambiguous to follow in time. */
const MOST_WAYS = 20_000

export class TooAmbiguous extends Error {}

/** A set of characters, quick to ask for the common ones. */
class CharTest {
  readonly set: CharSet
  readonly #ascii = new Uint8Array(128)

  constructor(set: CharSet) {
    this.set = set
    for (const [from, to] of set)
      for (let char = from; char <= Math.min(to, 127); char++) this.#ascii[char] = 1
  }

  has(char: number): boolean {
    if (char < 128) return this.#ascii[char] === 1
    let low = 0
    let high = this.set.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const [from, to] = this.set[middle]!
      if (char < from) high = middle - 1
      else if (char > to) low = middle + 1
      else return true
    }
    return false
  }

  /** Whether all of these characters are in it. */
  holds(from: number, to: number): boolean {
    return this.set.some(([start, end]) => from >= start && to <= end)
  }
}

export class Automaton {
  readonly start: State
  readonly #rules: Rules
  readonly #bodies = new Map<string, Node>()
  readonly #states = new Map<string, State>()
  readonly #kinds = new Map<string, number>()
  /** Counts above this are the same to any single token. */
  readonly #longest: number
  readonly #end: Stack
  #nodes = 0
  #stacks = 0

  /**
   * @param rules `root` and what it leads to
   * @param longest characters of the longest token
   */
  constructor(rules: Rules, longest: number) {
    this.#rules = rules
    this.#longest = longest
    this.#end = { id: this.#stacks++, node: undefined, next: undefined, kind: 0, pushed: new Map() }
    this.start = this.#stateOf([this.#push(this.#body('root'), this.#end)])
  }

  /** States met so far, each some hundred bytes. */
  get size(): number {
    return this.#states.size
  }

  /** Where a character leads; undefined where it may not come. */
  step(state: State, char: number): State | undefined {
    const { ways } = state
    let key: string | number = 0
    if (ways.length <= 30) {
      for (let i = 0; i < ways.length; i++) if (takes(ways[i]!, char)) key |= 1 << i
      if (key === 0) return undefined
    } else {
      key = ways.flatMap((way, i) => (takes(way, char) ? [i] : [])).join()
      if (key === '') return undefined
    }
    const known = state.after.get(key)
    if (known) return known
    const next = this.#stateOf(ways.filter((way) => takes(way, char)).map((way) => way.next))
    state.after.set(key, next)
    return next
  }

  /**
   * How many plain characters in a row may surely come, where a way repeats a set that holds them all and no
   * other way takes any of them; undefined otherwise.
   */
  run(state: State, plainIn: (way: Way) => 'all' | 'some' | 'none'): number | undefined {
    let most: number | undefined
    for (const way of state.ways) {
      const plain = plainIn(way)
      if (plain === 'none') continue
      const then = way.next.node
      if (plain === 'some' || most !== undefined || then?.kind !== 'repeat' || !isOf(then.item, way.test))
        return undefined
      most = 1 + then.most
    }
    return most
  }

  #body(name: string): Node {
    let body = this.#bodies.get(name)
    if (!body) {
      body = this.#nodeOf(this.#rules.get(name)!)
      this.#bodies.set(name, body)
    }
    return body
  }

  #nodeOf(expression: Expression): Node {
    switch (expression.type) {
      case 'literal':
        return this.#literal(Array.from(expression.text, (char) => char.codePointAt(0)!))
      case 'chars':
        return { kind: 'chars', id: this.#nodes++, test: new CharTest(expression.set) }
      case 'sequence':
        return this.#sequence(expression.items.map((item) => this.#nodeOf(item)))
      case 'alternatives':
        return {
          kind: 'alternatives',
          id: this.#nodes++,
          items: expression.items.map((item) => this.#nodeOf(item)),
        }
      case 'repeat': {
        const { least, most } = expression
        const item = this.#nodeOf(expression.item)
        return { kind: 'repeat', id: this.#nodes++, item, least, most, less: undefined }
      }
      case 'rule':
        return { kind: 'rule', id: this.#nodes++, name: expression.name }
    }
  }

  #literal(chars: readonly number[]): Node {
    const [char, ...rest] = chars
    if (char === undefined) return { kind: 'empty', id: this.#nodes++ }
    const tail = rest.length > 0 ? this.#literal(rest) : undefined
    return { kind: 'literal', id: this.#nodes++, char, tail }
  }

  #sequence([head, ...rest]: readonly Node[]): Node {
    const tail = rest.length > 0 ? this.#sequence(rest) : undefined
    return { kind: 'sequence', id: this.#nodes++, head: head!, tail }
  }

  #push(node: Node, next: Stack): Stack {
    const known = next.pushed.get(node.id)
    if (known) return known
    const stack = { id: this.#stacks++, node, next, kind: this.#kindOf(node, next), pushed: new Map() }
    next.pushed.set(node.id, stack)
    return stack
  }

  #kindOf(node: Node, next: Stack): number {
    const what =
      node.kind === 'repeat'
        ? `${node.item.id}*${Math.min(node.least, this.#longest)}-${Math.min(node.most, this.#longest)}`
        : String(node.id)
    const key = `${what} ${next.kind}`
    let kind = this.#kinds.get(key)
    if (kind === undefined) {
      kind = this.#kinds.size + 1
      this.#kinds.set(key, kind)
    }
    return kind
  }

  /** Opens the stacks until each has a character on top. */
  #stateOf(stacks: readonly Stack[]): State {
    const ways = new Map<string, Way & { readonly kind: string }>()
    const seen = new Set<number>()
    let mayEnd = false
    const waiting = [...stacks].reverse()
    for (let stack = waiting.pop(); stack; stack = waiting.pop()) {
      if (seen.has(stack.id)) continue
      seen.add(stack.id)
      if (seen.size > MOST_WAYS) throw new TooAmbiguous('too many ways at once')
      const { node, next } = stack
      if (!node || !next) {
        mayEnd = true
        continue
      }
      switch (node.kind) {
        case 'literal':
        case 'chars': {
          const then = node.kind === 'literal' && node.tail ? this.#push(node.tail, next) : next
          const [char, test] = node.kind === 'literal' ? [node.char, undefined] : [undefined, node.test]
          const what = char === undefined ? `s${node.id}` : String(char)
          ways.set(`${what}>${then.id}`, { char, test, next: then, kind: `${what}>${then.kind}` })
          break
        }
        case 'empty':
          waiting.push(next)
          break
        case 'sequence':
          waiting.push(this.#push(node.head, node.tail ? this.#push(node.tail, next) : next))
          break
        case 'alternatives':
          for (const item of node.items.toReversed()) waiting.push(this.#push(item, next))
          break
        case 'repeat':
          if (node.least === 0) waiting.push(next)
          if (node.most > 0) waiting.push(this.#push(node.item, this.#push(this.#less(node), next)))
          break
        case 'rule':
          waiting.push(this.#push(this.#body(node.name), next))
      }
    }
    const key = `${[...ways.keys()].join()}${mayEnd ? '.' : ''}`
    let state = this.#states.get(key)
    if (!state) {
      const kind = `${[...ways.values()].map((way) => way.kind).join()}${mayEnd ? '.' : ''}`
      state = { ways: [...ways.values()], mayEnd, kind, after: new Map() }
      this.#states.set(key, state)
    }
    return state
  }

  #less(node: Repeat): Node {
    if (node.most === Infinity && node.least === 0) return node
    node.less ??= {
      kind: 'repeat',
      id: this.#nodes++,
      item: node.item,
      least: Math.max(0, node.least - 1),
      most: node.most - 1,
      less: undefined,
    }
    return node.less
  }
}

function takes(way: Way, char: number): boolean {
  return way.test ? way.test.has(char) : way.char === char
}

/** Whether the node begins with this very set of characters. */
function isOf(node: Node, test: CharTest | undefined): boolean {
  if (node.kind === 'chars') return node.test === test
  return (
    node.kind === 'alternatives' && node.items.some((item) => item.kind === 'chars' && item.test === test)
  )
}
