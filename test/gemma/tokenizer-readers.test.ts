import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { tokenizerFromModel } from '../../src/gemma/sentencepiece.ts'
import type { Tokenizer } from '../../src/gemma/tokenizer.ts'
import { tokenizerFromJson } from '../../src/gemma/tokenizer-json.ts'
import {
  GEMMA_NORMALIZER,
  GEMMA_TRAINER,
  type ModelPiece,
  modelOf,
  sampleJson,
  sampleModel,
  type TokenizerJson,
} from './tokenizer-files.ts'

/** The sample's control tokens, symbols, bytes, and its first ten pieces with the letters they are made of. */
const LETTERS = ['\u2581', 'a', 't', 'h', 'i', 'n', 'o', 'r', 'e', 'l', 'c']

const small = JSON.stringify(cutToSize(sampleJson()))
const smallJson = (): TokenizerJson => JSON.parse(small)

function cutToSize(json: TokenizerJson): TokenizerJson {
  const tokens = Object.entries(json.model.vocab).sort(([, a], [, b]) => a - b)
  const kept = [...tokens.slice(0, 376).map(([token]) => token), ...LETTERS]
  const merges = (json.model.merges as [string, string][]).slice(0, 10)
  const vocab = Object.fromEntries(kept.map((token, id) => [token, id]))
  return { ...json, model: { ...json.model, vocab, merges } }
}

function smallPieces(): ModelPiece[] {
  return Object.keys(smallJson().model.vocab).map((token, id) => {
    const type = id < 3 ? 3 : id === 3 ? 2 : id < 110 ? 4 : id < 366 ? 6 : 1
    return { token, score: type === 1 ? 366 - id : 0, type }
  })
}

/** A working tokenizer or one clear error, never anything else. */
function expectTokenizerOrError(read: () => Tokenizer): 'tokenizer' | 'error' {
  let tokenizer: Tokenizer
  try {
    tokenizer = read()
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    const { code, message } = error as FacetError
    expect(code).toBe('invalid_checkpoint')
    expect(message).toMatch(/^tokenizer\.(json|model).*\.$/s)
    return 'error'
  }
  const ids = tokenizer.encode('The cat in\n\n\nthere  <bos>\t\u{1f600}')
  expect(ids.every((id) => id >= 0 && id < tokenizer.vocabSize)).toBe(true)
  expect(typeof tokenizer.decode(ids)).toBe('string')
  return 'tokenizer'
}

describe('tokenizer.json', () => {
  it('answers any JSON with a FacetError', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(expectTokenizerOrError(() => tokenizerFromJson(json))).toBe('error')
      }),
    )
    expect(() => tokenizerFromJson(undefined)).toThrow('tokenizer.json must be a JSON object')
  })

  it('answers a damaged file with a tokenizer or a FacetError', () => {
    const seen = new Set<string>()
    const step = fc.nat({ max: 1_000 })
    const wrong = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(undefined, -1, 1e9, 4_294_967_296, 0.5, '', '\ud800', '<bos>', 'a', ['a', 'b'], {}),
    )
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 4 }),
        wrong,
        fc.boolean(),
        (path, value, rename) => {
          const json = smallJson()
          damage(json, path, value, rename)
          seen.add(expectTokenizerOrError(() => tokenizerFromJson(json)))
        },
      ),
      { numRuns: 300 },
    )
    expect(seen).toEqual(new Set(['tokenizer', 'error']))
  })

  it.each<[string, (json: TokenizerJson) => void, string]>([
    [
      'another kind of model',
      (json) => Object.assign(json.model, { type: 'Unigram' }),
      'model.type must be BPE',
    ],
    [
      'no byte fallback',
      (json) => Object.assign(json.model, { byte_fallback: false }),
      'model.byte_fallback must be true',
    ],
    [
      'another normalizer',
      (json) => Object.assign(json, { normalizer: { type: 'Lowercase' } }),
      'normalizer must replace a space by \u2581',
    ],
    [
      'another pre-tokenizer',
      (json) => Object.assign(json, { pre_tokenizer: { type: 'ByteLevel' } }),
      'pre_tokenizer must be null or split at spaces',
    ],
    [
      'another decoder',
      (json) => Object.assign(json, { decoder: { type: 'ByteLevel' } }),
      'decoder must replace',
    ],
    [
      'a symbol that swallows spaces',
      (json) => Object.assign(json.added_tokens[20]!, { lstrip: true }),
      'added_tokens[20].lstrip must be false',
    ],
    ['merges of nothing', (json) => json.model.merges.push('a'), 'model.merges[10] must be a pair of tokens'],
    [
      'merges of unknown tokens',
      (json) => json.model.merges.push('x y'),
      'model.merges[10] names "x", which is not in the vocabulary',
    ],
    [
      'an id too high',
      (json) => Object.assign(json.model.vocab, { odd: 1e6 }),
      'model.vocab gives "odd" the id 1000000',
    ],
    ['an id twice', (json) => Object.assign(json.model.vocab, { odd: 5 }), 'the id 5'],
    [
      'a gap between ids',
      (json) => {
        delete json.model.vocab.c
        json.model.vocab.d = 387
      },
      'model.vocab has no token with the id 386',
    ],
    [
      'a missing byte',
      (json) => rename(json, '<0x80>', 'odd'),
      'the vocabulary has no entry for the byte 128',
    ],
    [
      'an added token over another',
      (json) => Object.assign(json.added_tokens[20]!, { content: 'odd' }),
      'added_tokens gives "odd" the id 20 of "<unused13>"',
    ],
  ])('refuses %s', (_, change, message) => {
    const json = smallJson()
    change(json)
    expect(() => tokenizerFromJson(json)).toThrow(message)
  })

  it('reads merges written as pairs and as text alike', () => {
    const json = smallJson()
    const old = smallJson()
    old.model.merges = (json.model.merges as [string, string][]).map((pair) => pair.join(' '))
    const whole = 'the cat in a hat\n\nto there'
    expect(tokenizerFromJson(old).encode(whole)).toEqual(tokenizerFromJson(json).encode(whole))
  })
})

describe('tokenizer.model', () => {
  it('answers any bytes with a FacetError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(expectTokenizerOrError(() => tokenizerFromModel(bytes))).toBe('error')
      }),
      { numRuns: 1_000 },
    )
    expect(() => tokenizerFromModel(new Uint8Array())).toThrow('tokenizer.model holds no vocabulary')
    expect(() => tokenizerFromModel(new TextEncoder().encode('{"model": {}}'))).toThrow(
      'tokenizer.model is not a SentencePiece model',
    )
  })

  it('answers a damaged file with a tokenizer or a FacetError', () => {
    const whole = modelOf(smallPieces())
    const seen = new Set<string>()
    const at = fc.nat({ max: whole.length - 1 })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(at, fc.nat({ max: 255 })), { maxLength: 3 }),
        fc.option(at),
        (flips, cut) => {
          const bytes = whole.slice()
          for (const [place, value] of flips) bytes[place] = value
          seen.add(expectTokenizerOrError(() => tokenizerFromModel(bytes.subarray(0, cut ?? undefined))))
        },
      ),
      { numRuns: 1_000 },
    )
    expect(seen).toEqual(new Set(['tokenizer', 'error']))
  })

  it('refuses a file cut anywhere', () => {
    const whole = sampleModel()
    for (const share of [0.1, 0.5, 0.9, 0.999]) {
      const cut = whole.subarray(0, Math.floor(whole.length * share))
      expect(expectTokenizerOrError(() => tokenizerFromModel(cut))).toBe('error')
    }
  })

  it.each<[string, Record<number, number>, Record<number, number>, string]>([
    ['unigram models', { 3: 1 }, {}, 'is not a byte-pair model'],
    ['models without byte fallback', { 35: 0 }, {}, 'has no byte fallback'],
    ['spaces as suffixes', { 24: 1 }, {}, 'writes spaces as suffixes'],
    ['a dummy prefix', {}, { 3: 1 }, 'adds a space in front of the text'],
    ['removed spaces', {}, { 4: 1 }, 'removes spaces'],
    ['unmarked spaces', {}, { 5: 0 }, 'does not mark spaces'],
  ])('refuses %s', (_, trainer, normalizer, message) => {
    const bytes = modelOf(
      smallPieces(),
      { ...GEMMA_TRAINER, ...trainer },
      { ...GEMMA_NORMALIZER, ...normalizer },
    )
    expect(() => tokenizerFromModel(bytes)).toThrow(message)
  })

  it.each<[string, Partial<ModelPiece>, string]>([
    ['a score that is no number', { score: Number.NaN }, 'the score NaN'],
    ['an unknown type', { type: 7 }, 'unknown type 7'],
    ['an unused piece', { type: 5 }, 'as unused'],
    ['an empty piece', { token: '' }, 'is empty'],
    ['a piece twice', { token: 'th' }, '"th" stands twice'],
  ])('refuses %s', (_, change, message) => {
    const bytes = modelOf([...smallPieces(), { token: 'zz', score: -500, type: 1, ...change }])
    expect(() => tokenizerFromModel(bytes)).toThrow(message)
  })

  it('gives typed text no control token, even one of a single character', () => {
    const tokenizer = tokenizerFromModel(modelOf([...smallPieces(), { token: 'z', score: 0, type: 3 }]))
    expect(tokenizer.encode('z').map((id) => tokenizer.tokenOf(id))).toEqual(['<0x7A>'])
  })
})

describe.each(['<bos>', '<0x41>'])('merges that could build %s out of typed text', (reserved) => {
  const parts = [reserved[0]!, reserved.slice(1)]
  const letters = [...new Set(reserved)]
  const suffixes = Array.from({ length: reserved.length - 2 }, (_, at) => reserved.slice(at + 1))

  it('are left out of tokenizer.json', () => {
    const json = smallJson()
    for (const token of [...letters, ...suffixes]) {
      json.model.vocab[token] ??= Object.keys(json.model.vocab).length
    }
    for (const token of suffixes.toReversed()) json.model.merges.push([token[0]!, token.slice(1)])
    json.model.merges.push(parts)
    const tokenizer = tokenizerFromJson(json)
    expect(tokenizer.encode(reserved).map((id) => tokenizer.tokenOf(id))).toEqual(parts)
  })

  it('are left out of tokenizer.model', () => {
    const pieces = smallPieces()
    for (const token of [...letters, ...suffixes]) {
      if (pieces.every((piece) => piece.token !== token)) pieces.push({ token, score: 1, type: 1 })
    }
    const tokenizer = tokenizerFromModel(modelOf(pieces))
    expect(tokenizer.encode(reserved).map((id) => tokenizer.tokenOf(id))).toEqual(parts)
  })
})

/** Follows the path as far as it goes and puts the value there, or the value in place of the key. */
function damage(root: object, path: readonly number[], value: unknown, renamed: boolean): void {
  let place = root as Record<string, unknown>
  for (const [depth, step] of path.entries()) {
    const keys = Object.keys(place)
    if (keys.length === 0) return
    const key = keys[step % keys.length]!
    const inner = place[key]
    if (depth < path.length - 1 && typeof inner === 'object' && inner !== null) {
      place = inner as Record<string, unknown>
      continue
    }
    // An item of a list has no name; a number would be its place, and a file holds no list of a billion.
    if (renamed && !Array.isArray(place)) {
      delete place[key]
      place[typeof value === 'string' ? value : `${JSON.stringify(value)}`] = inner
    } else place[key] = value
    return
  }
}

function rename(json: TokenizerJson, from: string, to: string): void {
  json.model.vocab[to] = json.model.vocab[from]!
  delete json.model.vocab[from]
}
