/** Reads `tokenizer.json`, the file of Hugging Face tokenizers. */
import { FacetError } from '../errors.ts'
import type { Tokenizer } from './tokenizer.ts'
import { BpeTokenizer } from './tokenizer-bpe.ts'
import type { Merges } from './tokenizer-merge.ts'
import { SPACE_MARK, Vocabulary, type VocabularyEntry } from './tokenizer-vocabulary.ts'

const FILE = 'tokenizer.json'

type Json = Readonly<Record<string, unknown>>

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
  /** Matched after spaces are marked, instead of in the text as typed. */
  readonly normalized: boolean
}

/**
 * Reads a parsed `tokenizer.json` of the Gemma family: byte-pair merges with byte fallback.
 *
 * @throws FacetError invalid_checkpoint, naming the part that is missing, malformed or not Gemma's
 */
export function tokenizerFromJson(json: unknown): Tokenizer {
  const top = object(json, FILE)
  const model = object(top.model, 'model')
  refuseOtherKinds(top, model)
  const added = readAddedTokens(top.added_tokens)
  const vocabulary = new Vocabulary(readEntries(object(model.vocab, 'model.vocab'), added), FILE)
  const symbols = (normalized: boolean): number[] =>
    added
      .filter((token) => token.normalized === normalized && vocabulary.isText(token.id))
      .map(({ id }) => id)
  return new BpeTokenizer({
    vocabulary,
    merges: new PairTable(readMerges(model.merges), vocabulary),
    typedSymbols: symbols(false),
    markedSymbols: symbols(true),
  })
}

/** What would tokenize otherwise than Gemma does is refused: a wrong token is worse than an error. */
function refuseOtherKinds(top: Json, model: Json): void {
  expect(model.type === 'BPE', 'model.type', 'must be BPE')
  expect(model.byte_fallback === true, 'model.byte_fallback', 'must be true')
  expect(model.ignore_merges !== true, 'model.ignore_merges', 'must be false')
  for (const field of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    expect(!model[field], `model.${field}`, 'must be null')
  }
  expect(replaces(top.normalizer, ' ', SPACE_MARK), 'normalizer', `must replace a space by ${SPACE_MARK}`)
  const split = top.pre_tokenizer
  const harmless =
    split === null ||
    split === undefined ||
    (isObject(split) && split.type === 'Split' && isSpace(split.pattern))
  expect(harmless, 'pre_tokenizer', 'must be null or split at spaces')
  const decoder = top.decoder
  const steps = isObject(decoder) && Array.isArray(decoder.decoders) ? (decoder.decoders as unknown[]) : []
  const [replace, ...rest] = steps
  const plain =
    replaces(replace, SPACE_MARK, ' ') && rest.every((step) => isObject(step) && PLAIN.includes(step.type))
  expect(plain, 'decoder', `must replace ${SPACE_MARK} by a space, then join bytes and tokens`)
}

const PLAIN: readonly unknown[] = ['ByteFallback', 'Fuse']

function replaces(step: unknown, from: string, to: string): boolean {
  return (
    isObject(step) &&
    step.type === 'Replace' &&
    isObject(step.pattern) &&
    step.pattern.String === from &&
    step.content === to
  )
}

function isSpace(pattern: unknown): boolean {
  return isObject(pattern) && pattern.String === ' '
}

function readAddedTokens(value: unknown): AddedToken[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) return fail('added_tokens', 'must be a list')
  return (value as unknown[]).map((entry, index) => {
    const field = `added_tokens[${index}]`
    const { id, content, special, normalized, ...flags } = object(entry, field)
    if (!isId(id)) return fail(`${field}.id`, 'must be a token id')
    if (typeof content !== 'string') return fail(`${field}.content`, 'must be a string')
    for (const flag of ['single_word', 'lstrip', 'rstrip']) {
      expect(!flags[flag], `${field}.${flag}`, 'must be false')
    }
    return { id, content, special: special === true, normalized: normalized === true }
  })
}

function readEntries(vocab: Json, added: readonly AddedToken[]): VocabularyEntry[] {
  const entries: (VocabularyEntry | undefined)[] = []
  const listed = Object.entries(vocab)
  const limit = listed.length + added.length
  const put = (token: string, id: number, control: boolean, field: string): void => {
    if (id >= limit)
      fail(field, `gives ${JSON.stringify(token)} the id ${id}, but there are only ${limit} tokens`)
    const before = entries[id]
    if (before && before.token !== token) {
      fail(field, `gives ${JSON.stringify(token)} the id ${id} of ${JSON.stringify(before.token)}`)
    }
    entries[id] = { token, control }
  }
  for (const [token, id] of listed) {
    if (!isId(id)) fail('model.vocab', `must map ${JSON.stringify(token)} to a token id`)
    put(token, id, false, 'model.vocab')
  }
  for (const { content, id, special } of added) put(content, id, special, 'added_tokens')
  return Array.from(entries, (entry, id) => entry ?? fail('model.vocab', `has no token with the id ${id}`))
}

/** Pairs as `[left, right]` or, in older files, `left right`. */
function* readMerges(value: unknown): Generator<readonly [string, string]> {
  if (!Array.isArray(value)) return fail('model.merges', 'must be a list')
  for (const [index, merge] of (value as unknown[]).entries()) {
    if (typeof merge === 'string') {
      const space = merge.indexOf(' ')
      yield [merge.slice(0, space), merge.slice(space + 1)]
    } else if (Array.isArray(merge) && typeof merge[0] === 'string' && typeof merge[1] === 'string') {
      yield [merge[0], merge[1]]
    } else fail(`model.merges[${index}]`, 'must be a pair of tokens')
  }
}

/** Merges in the order of the file, found by their two ids in one open-addressed hash table. */
class PairTable implements Merges {
  readonly ranks: Int32Array
  readonly results: Int32Array
  readonly #left: number[] = []
  readonly #right: number[] = []
  readonly #slots: Int32Array
  readonly #mask: number

  constructor(pairs: Iterable<readonly [string, string]>, vocabulary: Vocabulary) {
    const ranks: number[] = []
    const results: number[] = []
    let rank = 0
    for (const [leftToken, rightToken] of pairs) {
      const [left, right, result] = [leftToken, rightToken, leftToken + rightToken].map((token) => {
        const id = vocabulary.idOf(token)
        return (
          id ??
          fail(`model.merges[${rank}]`, `names ${JSON.stringify(token)}, which is not in the vocabulary`)
        )
      }) as [number, number, number]
      // Text typed by a user must not grow into a control token or into a byte.
      if (vocabulary.isText(result)) {
        this.#left.push(left)
        this.#right.push(right)
        results.push(result)
        ranks.push(rank)
      }
      rank++
    }
    this.ranks = Int32Array.from(ranks)
    this.results = Int32Array.from(results)
    const size = 2 ** Math.ceil(Math.log2(2 * results.length + 2))
    this.#mask = size - 1
    this.#slots = new Int32Array(size).fill(-1)
    for (let index = 0; index < results.length; index++) {
      const slot = this.#slot(this.#left[index]!, this.#right[index]!)
      // Of a pair listed twice the later rank counts, as in the native library.
      this.#slots[slot] = index
    }
  }

  find(left: number, right: number): number {
    return this.#slots[this.#slot(left, right)]!
  }

  /** Where the pair is, or the free slot where it would be. At most half of all slots are taken. */
  #slot(left: number, right: number): number {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0
    slot = (slot ^ (slot >>> 15)) & this.#mask
    for (;;) {
      const index = this.#slots[slot]!
      if (index < 0 || (this.#left[index] === left && this.#right[index] === right)) return slot
      slot = (slot + 1) & this.#mask
    }
  }
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function object(value: unknown, field: string): Json {
  return isObject(value) ? value : fail(field, 'must be a JSON object')
}

function expect(holds: boolean, field: string, demand: string): void {
  if (!holds) fail(field, `${demand}, as in every Gemma`)
}

function fail(field: string, problem: string): never {
  const where = field === FILE ? FILE : `${FILE}: ${field}`
  throw new FacetError(
    'invalid_checkpoint',
    `${where} ${problem}; take the file from the Gemma checkpoint.`,
    { field },
  )
}
