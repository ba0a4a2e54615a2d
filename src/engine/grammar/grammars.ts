/** Grammars of one vocabulary, kept while they are in use: the same form is asked for again and again. */
import type { Tokenizer } from '../../gemma/tokenizer.ts'
import { Automaton, TooAmbiguous } from './automaton.ts'
import type { Rules } from './expression.ts'
import type { Form } from './form.ts'
import { createMatcher, type Masks, type Matcher, plainOf, tooAmbiguous } from './matcher.ts'
import { textsOf } from './token-tree.ts'

/** Grammars kept, and the states of one above which it begins anew. */
const MOST_KEPT = 32
const MOST_STATES = 50_000

export interface Grammars {
  /** @throws FacetError invalid_request for a form that cannot be followed */
  match(form: Form): Matcher
}

interface Kept {
  readonly name: string
  readonly automaton: Automaton
}

/**
 * Reads the whole vocabulary, which takes about a second for 256k tokens.
 *
 * @param vocabSize of the logits, which may be more than the tokenizer's
 * @param eosIds what may follow a complete answer
 */
export function createGrammars(
  tokenizer: Tokenizer,
  vocabSize: number,
  eosIds: ReadonlySet<number>,
): Grammars {
  const texts = textsOf(tokenizer)
  const masks: Masks = { texts, eosIds, vocabSize, kept: new Map(), plain: new Map() }
  // Every text needs it, and the first answer should not wait for it.
  plainOf(Infinity, masks)
  const longest = Math.max(texts.plain.height, texts.special.height) + 1
  const kept = new Map<string, Kept>()
  let made = 0
  return {
    match: ({ key, rules, field }) => {
      let grammar = kept.get(key)
      kept.delete(key)
      if (!grammar || grammar.automaton.size > MOST_STATES) {
        grammar = { name: String(made++), automaton: automatonOf(rules(), longest, field) }
      }
      kept.set(key, grammar)
      const [oldest] = kept.keys()
      if (kept.size > MOST_KEPT) kept.delete(oldest!)
      return createMatcher(grammar.automaton, { name: grammar.name, field }, masks)
    },
  }
}

function automatonOf(rules: Rules, longest: number, field: string): Automaton {
  try {
    return new Automaton(rules, longest)
  } catch (error) {
    throw error instanceof TooAmbiguous ? tooAmbiguous(field, error) : error
  }
}
