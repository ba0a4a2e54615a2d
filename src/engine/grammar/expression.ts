/** Context-free grammars as data. */
import type { CharSet } from './char-set.ts'

export type Expression =
  | { readonly type: 'literal'; readonly text: string }
  | { readonly type: 'chars'; readonly set: CharSet }
  | { readonly type: 'sequence'; readonly items: readonly Expression[] }
  /** None of them matches nothing at all. */
  | { readonly type: 'alternatives'; readonly items: readonly Expression[] }
  | { readonly type: 'repeat'; readonly item: Expression; readonly least: number; readonly most: number }
  | { readonly type: 'rule'; readonly name: string }

/** Rules by name; a rule may name any other. */
export type Rules = ReadonlyMap<string, Expression>

export const EMPTY: Expression = { type: 'literal', text: '' }

export function literal(text: string): Expression {
  return { type: 'literal', text }
}

export function sequence(items: readonly Expression[]): Expression {
  const flat = items
    .flatMap((item) => (item.type === 'sequence' ? item.items : [item]))
    .filter((item) => item.type !== 'literal' || item.text !== '')
  if (flat.length === 1) return flat[0]!
  return flat.length === 0 ? EMPTY : { type: 'sequence', items: flat }
}

export function alternatives(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0]! : { type: 'alternatives', items }
}

export function optional(item: Expression): Expression {
  return repeat(item, 0, 1)
}

/** @param most Infinity for any number */
export function repeat(item: Expression, least: number, most: number): Expression {
  if (most < least) return alternatives([])
  if (most === 0) return EMPTY
  return least === 1 && most === 1 ? item : { type: 'repeat', item, least, most }
}

/** The rules that match at least one finite text: a rule that always contains itself does not. */
function finiteRules(rules: Rules): Set<string> {
  const finite = new Set<string>()
  const ends = (expression: Expression): boolean => {
    switch (expression.type) {
      case 'literal':
        return true
      case 'chars':
        return expression.set.length > 0
      case 'sequence':
        return expression.items.every(ends)
      case 'alternatives':
        return expression.items.some(ends)
      case 'repeat':
        return expression.least === 0 || ends(expression.item)
      case 'rule':
        return finite.has(expression.name)
    }
  }
  for (let before = -1; before !== finite.size; ) {
    before = finite.size
    for (const [name, body] of rules) if (!finite.has(name) && ends(body)) finite.add(name)
  }
  return finite
}

/** Without what cannot end, so that no answer is led into it. The root itself must be finite. */
export function pruned(rules: Rules): Rules {
  const finite = finiteRules(rules)
  const prune = (expression: Expression): Expression | undefined => {
    switch (expression.type) {
      case 'literal':
        return expression
      case 'chars':
        return expression.set.length > 0 ? expression : undefined
      case 'rule':
        return finite.has(expression.name) ? expression : undefined
      case 'sequence': {
        const items = expression.items.map(prune)
        return items.every((item) => item !== undefined) ? sequence(items) : undefined
      }
      case 'alternatives': {
        const items = expression.items.map(prune).filter((item) => item !== undefined)
        return items.length > 0 ? alternatives(items) : undefined
      }
      case 'repeat': {
        const item = prune(expression.item)
        if (item) return { ...expression, item }
        return expression.least === 0 ? EMPTY : undefined
      }
    }
  }
  const kept = new Map<string, Expression>()
  for (const [name, body] of rules) {
    const expression = prune(body)
    if (expression) kept.set(name, expression)
  }
  return kept
}

/** The rules that `root` leads to, itself among them. */
export function reachable(rules: Rules, root: string): Rules {
  const found = new Map<string, Expression>()
  const visit = (expression: Expression): void => {
    if (expression.type === 'rule') follow(expression.name)
    else if (expression.type === 'repeat') visit(expression.item)
    else if (expression.type === 'sequence' || expression.type === 'alternatives')
      expression.items.forEach(visit)
  }
  const waiting = [root]
  const follow = (name: string): void => {
    waiting.push(name)
  }
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const body = rules.get(name)
    if (!body || found.has(name)) continue
    found.set(name, body)
    visit(body)
  }
  return found
}
