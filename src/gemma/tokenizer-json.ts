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
    merges: new PairTable(model.merges, vocabulary),
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
  return Array.from(value as unknown[], (entry, index) => {
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
  const listed = Object.entries(vocab)
  const limit = listed.length + added.length
  const entries = new Array<VocabularyEntry | undefined>(limit).fill(undefined)
  let count = 0
  const put = (token: string, given: unknown, control: boolean, field: string): void => {
    const id =
      isId(given) && given < limit
        ? given
        : fail(
            field,
            `gives ${JSON.stringify(token)} the id ${JSON.stringify(given)}, out of ${limit} tokens`,
          )
    const before = entries[id]
    if (before && before.token !== token) {
      fail(field, `gives ${JSON.stringify(token)} the id ${id} of ${JSON.stringify(before.token)}`)
    }
    entries[id] = { token, control }
    count = Math.max(count, id + 1)
  }
  for (const [token, id] of listed) put(token, id, false, 'model.vocab')
  for (const { content, id, special } of added) put(content, id, special, 'added_tokens')
  return entries
    .slice(0, count)
    .map((entry, id) => entry ?? fail('model.vocab', `has no token with the id ${id}`))
}

/** `[left, right]` or, in older files, `left right`. */
function readPair(merge: unknown, index: number): readonly [string, string] {
  const space = typeof merge === 'string' ? merge.indexOf(' ') : -1
  if (typeof merge === 'string' && space >= 0) {
    return [merge.slice(0, space), merge.slice(space + 1)]
  }
  if (Array.isArray(merge) && typeof merge[0] === 'string' && typeof merge[1] === 'string') {
    return [merge[0], merge[1]]
  }
  return fail(`model.merges[${index}]`, 'must be a pair of tokens')
}

/** Merges in the order of the file, found by their two ids in one open-addressed hash table. */
class PairTable implements Merges {
  readonly ranks: Int32Array
  readonly results: Int32Array
  readonly #left: Int32Array
  readonly #right: Int32Array
  readonly #slots: Int32Array
  readonly #mask: number

  constructor(list: unknown, vocabulary: Vocabulary) {
    const merges: readonly unknown[] = Array.isArray(list) ? list : fail('model.merges', 'must be a list')
    this.ranks = new Int32Array(merges.length)
    this.results = new Int32Array(merges.length)
    this.#left = new Int32Array(merges.length)
    this.#right = new Int32Array(merges.length)
    const size = 2 ** Math.ceil(Math.log2(2 * merges.length + 2))
    this.#mask = size - 1
    this.#slots = new Int32Array(size).fill(-1)
    for (const [index, merge] of merges.entries()) {
      const idOf = (token: string): number =>
        vocabulary.idOf(token) ??
        fail(`model.merges[${index}]`, `names ${JSON.stringify(token)}, which is not in the vocabulary`)
      const [left, right] = readPair(merge, index)
      this.#left[index] = idOf(left)
      this.#right[index] = idOf(right)
      this.results[index] = idOf(left + right)
      this.ranks[index] = index
      // Text typed by a user must not grow into a control token or into a byte.
      if (!vocabulary.isText(this.results[index]!)) continue
      // Of a pair listed twice the later rank counts, as in the native library.
      this.#slots[this.#slot(this.#left[index]!, this.#right[index]!)] = index
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
