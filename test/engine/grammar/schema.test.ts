/** Answers held to a schema: whatever is chosen among the allowed tokens, the text validates. */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createCallReader } from '../../../src/engine/grammar/call-reader.ts'
import { formOf } from '../../../src/engine/grammar/form.ts'
import { createGrammars } from '../../../src/engine/grammar/grammars.ts'
import type { Matcher } from '../../../src/engine/grammar/matcher.ts'
import { FacetError } from '../../../src/errors.ts'
import { tokenizerFromJson } from '../../../src/gemma/tokenizer-json.ts'
import type { JsonSchema } from '../../../src/types.ts'
import { MODEL_DIRECTORY } from '../golden.ts'
import { anySchema, SCHEMAS } from './schemas.ts'

const tokenizer = tokenizerFromJson(JSON.parse(readFileSync(`${MODEL_DIRECTORY}/tokenizer.json`, 'utf8')))
const EOS = 1
const VOCABULARY = tokenizer.vocabSize
const grammars = createGrammars(tokenizer, VOCABULARY, new Set([EOS]))

const matcherOf = (schema: JsonSchema): Matcher =>
  grammars.match(formOf({ prompt: '', responseFormat: { type: 'json_schema', name: 'test', schema } })!)

const isAllowed = (mask: Uint32Array, id: number): boolean => ((mask[id >> 5]! >>> (id & 31)) & 1) === 1

/** Tokens by which brackets and quotes close, so that a random answer comes to an end. */
const closing = Array.from({ length: VOCABULARY }, (_, id) => id).filter((id) =>
  /^["\]}]+,?$/.test(tokenizer.decode([id])),
)

/** An answer of tokens chosen at random among those allowed. */
function randomAnswer(matcher: Matcher, random: () => number): string {
  const ids: number[] = []
  for (;;) {
    const mask = matcher.allowed
    const wanted = random() < 0.2 + ids.length / 400 ? closing.filter((id) => isAllowed(mask, id)) : []
    const pool = wanted.length > 0 ? wanted : allowedIds(mask)
    if (pool.length === 0) throw new Error(`a dead end after ${tokenizer.decode(ids)}`)
    const end = isAllowed(mask, EOS) && random() < 0.3 + ids.length / 400
    const id = end ? EOS : pool[Math.floor(random() * pool.length)]!
    if (id === EOS) {
      expect(matcher.mayEnd).toBe(true)
      return tokenizer.decode(ids)
    }
    matcher.accept(id)
    ids.push(id)
    if (ids.length > 20_000) throw new Error(`no end after ${tokenizer.decode(ids).slice(0, 200)}`)
  }
}

function allowedIds(mask: Uint32Array): number[] {
  const ids: number[] = []
  for (let id = 0; id < VOCABULARY; id++) if (isAllowed(mask, id)) ids.push(id)
  return ids
}

const ajv = new Ajv2020({ strict: false, validateFormats: false })

function expectValid(schema: JsonSchema, random: () => number): void {
  const text = randomAnswer(matcherOf(schema), random)
  const validate = ajv.compile(schema as object)
  expect(validate(JSON.parse(text)), `${text} ${ajv.errorsText(validate.errors)}`).toBe(true)
}

/** A generator that a test's seed decides (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

describe('a grammar of a schema', () => {
  it.each(Object.entries(SCHEMAS))('holds answers to %s', (_, schema) => {
    for (let seed = 0; seed < 4; seed++) expectValid(schema, randomOf(seed))
  })

  it('holds answers to schemas nobody thought of', () => {
    fc.assert(
      fc.property(anySchema, fc.integer(), (schema, seed) => expectValid(schema, randomOf(seed))),
      { numRuns: 50 },
    )
  })

  it('enforces formats so that a calendar agrees', () => {
    for (let seed = 0; seed < 60; seed++) {
      const text = JSON.parse(randomAnswer(matcherOf({ type: 'string', format: 'date' }), randomOf(seed)))
      const date = new Date(`${text}T00:00:00Z`)
      expect(date.toISOString().slice(0, 10), text).toBe(text)
    }
  })

  it.each([
    ['a text', { type: 'string' }, '"plain, \\"quoted\\" and ünïcode 😀\\n"'],
    ['any object', { type: 'object' }, '{"a": {"b": [1, -2.5e-3, null, true, "x"]}, "c":{}}'],
    ['every leap day', { type: 'string', format: 'date' }, '"2024-02-29"'],
    ['a bound itself', { type: 'number', minimum: -0.25, maximum: 0.125 }, '0.125'],
    ['what is beside a circle', { anyOf: [{ $ref: '#' }, { type: 'boolean' }] }, 'true'],
    ['zeros after a bound', { type: 'number', maximum: 1 }, '1.00'],
  ])('lets pass %s', (_, schema, text) => {
    const matcher = matcherOf(schema)
    for (const id of tokenizer.encode(text)) {
      expect(isAllowed(matcher.allowed, id), `${tokenizer.tokenOf(id)} in ${text}`).toBe(true)
      matcher.accept(id)
    }
    expect(matcher.mayEnd).toBe(true)
  })

  it('writes characters outside the vocabulary byte by byte', () => {
    const matcher = matcherOf({ const: '𓂀' })
    const ids = tokenizer.encode('"𓂀"')
    expect(ids.length).toBeGreaterThan(4)
    expect(isAllowed(matcher.allowed, ids[0]!)).toBe(true)
    const text = matcherOf({ type: 'string' })
    for (const id of ids) {
      expect(isAllowed(text.allowed, id)).toBe(true)
      text.accept(id)
    }
    expect(text.mayEnd).toBe(true)
  })

  it('never allows a control token', () => {
    const mask = matcherOf({ type: 'string' })
    mask.accept(tokenizer.encode('"')[0]!)
    for (const name of ['<start_of_turn>', '<end_of_turn>', '<bos>', '<pad>']) {
      const id = tokenizer.idOf(name)
      if (id !== undefined) expect(isAllowed(mask.allowed, id), name).toBe(false)
    }
  })
})

describe('a grammar of tools', () => {
  it('makes calls whose arguments validate, read back however they are cut', () => {
    const cases = fc.property(
      anySchema,
      fc.integer(),
      fc.integer({ min: 1, max: 9 }),
      (schema, seed, cut) => {
        const parameters = { type: 'object', properties: { a: schema }, required: ['a'] }
        const tools = [{ name: 'first', parameters }, { name: 'second' }]
        const form = formOf({ messages: [], tools, toolChoice: 'required' })!
        const text = randomAnswer(grammars.match(form), randomOf(seed))
        const calls = new Map<number, { name: string; text: string }>()
        const reader = createCallReader(
          (event) => {
            if (event.type !== 'tool') throw new Error('no call was sent')
            const call = calls.get(event.index) ?? { name: '', text: '' }
            calls.set(event.index, {
              name: call.name + (event.name ?? ''),
              text: call.text + event.arguments,
            })
          },
          () => 'id',
        )
        for (let at = 0; at < text.length; at += cut) reader.push(text.slice(at, at + cut))
        expect(calls.size).toBeGreaterThan(0)
        for (const { name, text } of calls.values()) {
          const wanted = name === 'first' ? parameters : { type: 'object', additionalProperties: false }
          expect(ajv.validate(wanted, JSON.parse(text)), text).toBe(true)
        }
      },
    )
    fc.assert(cases, { numRuns: 60 })
  })
})

describe('a schema that cannot be enforced', () => {
  const refusal = (schema: unknown): FacetError => {
    try {
      matcherOf(schema as JsonSchema)
    } catch (error) {
      if (error instanceof FacetError) return error
      throw error
    }
    throw new Error('nothing was refused')
  }

  it.each([
    ['not', { not: { type: 'string' } }, 'not'],
    ['if', { if: {} }, 'if'],
    ['contains', { type: 'array', contains: {} }, 'contains'],
    ['uniqueItems', { type: 'array', uniqueItems: true }, 'uniqueItems'],
    ['multipleOf', { type: 'integer', multipleOf: 3 }, 'multipleOf'],
    ['patternProperties', { type: 'object', patternProperties: {} }, 'patternProperties'],
    ['minProperties', { type: 'object', minProperties: 1 }, 'minProperties'],
    ['dependentRequired', { type: 'object', dependentRequired: {} }, 'dependentRequired'],
    ['unevaluatedProperties', { type: 'object', unevaluatedProperties: false }, 'unevaluatedProperties'],
    ['a misspelt keyword', { type: 'string', maxLenght: 3 }, 'maxLenght'],
    ['deep down', { properties: { a: { items: { not: {} } } } }, 'properties.a.items.not'],
    ['a look ahead', { type: 'string', pattern: '^(?=a)' }, 'pattern'],
    ['a reference back', { type: 'string', pattern: '^(a)\\1$' }, 'pattern'],
    ['a word boundary', { type: 'string', pattern: '\\bword' }, 'pattern'],
    ['a broken pattern', { type: 'string', pattern: '(' }, 'pattern'],
    ['an unknown format', { type: 'string', format: 'iri' }, 'format'],
    ['an unknown type', { type: 'float' }, 'type'],
    ['a wrong reference', { $ref: '#/$defs/none' }, '$ref'],
    ['a reference elsewhere', { $ref: 'https://example.org/schema' }, '$ref'],
    ['rivals', { oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'oneOf'],
    ['a text for a schema', { properties: { a: 'string' } }, 'properties.a'],
    ['a list for properties', { type: 'object', properties: [] }, 'properties'],
    ['pattern and length', { type: 'string', pattern: 'a', maxLength: 3 }, 'pattern'],
  ])('is refused by name: %s', (_, schema, path) => {
    const error = refusal(schema)
    expect(error.code).toBe('invalid_request')
    expect(error.field).toBe(`responseFormat.schema.${path}`)
    expect(error.message).toMatch(/^\S+ .*\.$/)
  })

  it.each([
    ['never ends', { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }],
    ['refers only to itself', { $ref: '#' }],
    [
      'goes in a circle',
      { $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' },
    ],
    ['is false', false],
    ['has an empty range', { type: 'integer', minimum: 3, maximum: 2 }],
    ['is longer than it may be', { type: 'string', minLength: 3, maxLength: 2 }],
    ['has more items than it may have', { type: 'array', minItems: 3, maxItems: 2 }],
    ['has no constant of its type', { type: 'string', enum: [1] }],
    ['joins itself', { allOf: [{ $ref: '#' }] }],
    ['joins two shapes', { allOf: [{ type: 'string' }, { type: 'null' }] }],
  ])('is refused because it %s', (_, schema) => {
    expect(refusal(schema).code).toBe('invalid_request')
  })

  it.each([
    ['counts within counts', '^([ab]{0,1000}){0,1000}$'],
    ['one thing in many ways', '^(.*a){200}$'],
  ])('is refused when a text may be read in too many ways: %s', (_, pattern) => {
    const follow = () => {
      const matcher = matcherOf({ type: 'string', pattern })
      for (const id of tokenizer.encode(`"${'ba'.repeat(600)}`)) {
        if (isAllowed(matcher.allowed, id)) matcher.accept(id)
      }
    }
    expect(follow).toThrow(/^responseFormat\.schema can be read in too many ways at once/)
  })

  it('is refused with a sentence, whatever it is', () => {
    const keyword = fc.constantFrom(
      'type',
      'properties',
      'items',
      '$ref',
      'anyOf',
      'allOf',
      'enum',
      'required',
      'pattern',
      'minLength',
      'minimum',
      'prefixItems',
      'oneOf',
      'const',
      'format',
    )
    const wild = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.jsonValue(),
        fc.constantFrom('#', '#/a', 'string', 'object'),
        fc.dictionary(keyword, tie('value')),
      ),
    })).value
    fc.assert(
      fc.property(wild, (schema) => {
        try {
          matcherOf(schema as JsonSchema).allowed
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
          expect((error as FacetError).code).toBe('invalid_request')
        }
      }),
      { numRuns: 150 },
    )
  })
})
