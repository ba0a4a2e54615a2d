/** The tokenizer both file readers build: whole symbols first, then byte-pair merging, bytes for the rest. */
import { FacetError } from '../errors.ts'
import type { TextStream, Tokenizer } from './tokenizer.ts'
import { type Merges, mergePairs } from './tokenizer-merge.ts'
import { SPACE_MARK, type Vocabulary } from './tokenizer-vocabulary.ts'

export interface BpeParts {
  readonly vocabulary: Vocabulary
  readonly merges: Merges
  /** Ids matched whole in the text as typed, longest first. */
  readonly typedSymbols: readonly number[]
  /** Ids matched whole once spaces are marked. */
  readonly markedSymbols: readonly number[]
}

/** Lone surrogates in a text count as U+FFFD, as they do wherever text becomes UTF-8. */
export class BpeTokenizer implements Tokenizer {
  readonly vocabSize: number
  readonly #vocabulary: Vocabulary
  readonly #merges: Merges
  readonly #typed: SymbolTree
  readonly #marked: SymbolTree

  constructor({ vocabulary, merges, typedSymbols, markedSymbols }: BpeParts) {
    this.vocabSize = vocabulary.tokens.length
    this.#vocabulary = vocabulary
    this.#merges = merges
    this.#typed = new SymbolTree(vocabulary, typedSymbols)
    this.#marked = new SymbolTree(vocabulary, markedSymbols)
  }

  encode(text: string): number[] {
    const ids: number[] = []
    const append = (more: readonly number[]): void => {
      for (const id of more) ids.push(id)
    }
    for (const typed of this.#typed.split(text.toWellFormed())) {
      if (typeof typed === 'number') ids.push(typed)
      else {
        for (const marked of this.#marked.split(typed.replaceAll(' ', SPACE_MARK))) {
          if (typeof marked === 'number') ids.push(marked)
          else append(this.#resolved(mergePairs(this.#symbols(marked), this.#merges)))
        }
      }
    }
    return ids
  }

  decode(ids: readonly number[]): string {
    const stream = this.stream()
    return ids.map((id) => stream.push(id)).join('') + stream.flush()
  }

  stream(): TextStream {
    return new BpeStream(this.#vocabulary)
  }

  idOf(token: string): number | undefined {
    return this.#vocabulary.idOf(token)
  }

  tokenOf(id: number): string | undefined {
    return this.#vocabulary.tokens[id]
  }

  /** A symbol a character: its id, or vocabSize + its code point where the vocabulary lacks it. */
  #symbols(text: string): number[] {
    return Array.from(text, (character) => {
      const id = this.#vocabulary.idOf(character)
      return id !== undefined && this.#vocabulary.isText(id) ? id : this.vocabSize + character.codePointAt(0)!
    })
  }

  /** Characters that are still missing after merging become their bytes. */
  #resolved(symbols: readonly number[]): number[] {
    const { byteIds } = this.#vocabulary
    return symbols.flatMap((symbol) =>
      symbol < this.vocabSize
        ? symbol
        : Array.from(UTF8.encode(String.fromCodePoint(symbol - this.vocabSize)), (byte) => byteIds[byte]!),
    )
  }
}

const UTF8 = new TextEncoder()

/** Invalid UTF-8 becomes U+FFFD as in the WHATWG standard, at once, so that a stream need not wait for its end. */
class BpeStream implements TextStream {
  readonly #vocabulary: Vocabulary
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  readonly #byte = new Uint8Array(1)
  #inBytes = false

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary
  }

  push(id: number): string {
    const { tokens, control, bytes } = this.#vocabulary
    const token = tokens[id]
    if (token === undefined) {
      throw new FacetError(
        'invalid_request',
        `Token id ${id} is not in the vocabulary; ids go from 0 to ${tokens.length - 1}.`,
        { field: 'ids' },
      )
    }
    if (control[id] === 1) return ''
    const byte = bytes[id]!
    if (byte < 0) return this.flush() + token.replaceAll(SPACE_MARK, ' ')
    this.#inBytes = true
    this.#byte[0] = byte
    return this.#decoder.decode(this.#byte, { stream: true })
  }

  flush(): string {
    if (!this.#inBytes) return ''
    this.#inBytes = false
    return this.#decoder.decode()
  }
}

interface Branch {
  /** The symbol that ends here, or -1. */
  id: number
  readonly branches: Map<number, Branch>
}

/** Finds symbols in a text, leftmost and longest first. */
class SymbolTree {
  readonly #root: Branch = { id: -1, branches: new Map() }

  constructor(vocabulary: Vocabulary, ids: readonly number[]) {
    for (const id of ids) {
      const token = vocabulary.tokens[id]!
      let branch = this.#root
      for (let at = 0; at < token.length; at++) {
        const unit = token.charCodeAt(at)
        const known = branch.branches.get(unit)
        if (known) branch = known
        else {
          const grown: Branch = { id: -1, branches: new Map() }
          branch.branches.set(unit, grown)
          branch = grown
        }
      }
      branch.id = id
    }
  }

  /** The text in order: symbols as ids, what lies between them as it stands. */
  *split(text: string): Generator<string | number> {
    let from = 0
    let at = 0
    while (at < text.length) {
      let id = -1
      let end = at
      let branch = this.#root.branches.get(text.charCodeAt(at))
      for (let to = at + 1; branch; to++) {
        if (branch.id >= 0) {
          id = branch.id
          end = to
        }
        branch = to < text.length ? branch.branches.get(text.charCodeAt(to)) : undefined
      }
      if (id < 0) at++
      else {
        if (from < at) yield text.slice(from, at)
        yield id
        from = at = end
      }
    }
    if (from < text.length) yield text.slice(from)
  }
}
