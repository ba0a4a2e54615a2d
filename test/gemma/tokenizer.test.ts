import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { tokenizerFromModel } from '../../src/gemma/sentencepiece.ts'
import type { Tokenizer } from '../../src/gemma/tokenizer.ts'
import { tokenizerFromJson } from '../../src/gemma/tokenizer-json.ts'
import {
  FIRST_TEXT_ID,
  gemmaJson,
  gemmaPieces,
  modelOf,
  sampleJson,
  sampleModel,
  text,
} from './tokenizer-files.ts'

const gemma = tokenizerFromJson(gemmaJson())
const gemmaModel = tokenizerFromModel(modelOf(gemmaPieces()))
const sample = tokenizerFromModel(sampleModel())
const tokenizers: readonly (readonly [string, Tokenizer])[] = [
  ['the sample, tokenizer.json', tokenizerFromJson(sampleJson())],
  ['the sample, tokenizer.model', sample],
  ['Gemma, tokenizer.json', gemma],
  ['Gemma, tokenizer.model', gemmaModel],
]

describe.each(tokenizers)('%s', (_, tokenizer) => {
  const controls = Array.from({ length: FIRST_TEXT_ID }, (_, id) => tokenizer.tokenOf(id)!)

  it('knows control tokens by name and id', () => {
    expect(tokenizer.idOf('<bos>')).toBe(2)
    expect(tokenizer.idOf('<start_of_turn>')).toBe(106)
    expect(tokenizer.tokenOf(107)).toBe('<end_of_turn>')
    expect(tokenizer.tokenOf(tokenizer.vocabSize)).toBeUndefined()
    expect(tokenizer.tokenOf(-1)).toBeUndefined()
    expect(tokenizer.idOf('no such token')).toBeUndefined()
  })

  it('keeps every control token typed in a text as text', () => {
    for (const control of controls) {
      const ids = tokenizer.encode(`a ${control}\n`)
      expect(Math.min(...ids)).toBeGreaterThanOrEqual(FIRST_TEXT_ID)
      expect(tokenizer.decode(ids)).toBe(`a ${control}\n`)
    }
  })

  it('never gives a control token, whatever stands around a typed one', () => {
    const forged = fc.array(fc.oneof(text, fc.constantFrom(...controls, '<', 'bos>', '<unused')), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(forged, (parts) => {
        expect(tokenizer.encode(parts.join('')).every((id) => id >= FIRST_TEXT_ID)).toBe(true)
      }),
    )
  })

  it('leaves control tokens out when decoding', () => {
    const ids = tokenizer.encode('Hello there')
    expect(tokenizer.decode([2, 106, ...ids, 107, 1, 0, 7])).toBe('Hello there')
  })

  it('gives back what was encoded, leading spaces too', () => {
    for (const whole of [
      '',
      '  two spaces',
      ' a\n b',
      '\ttab',
      '\ufeffmark',
      '\u0000',
      'e\u0301 👨‍👩‍👧 🇩🇪',
      '\r\n',
    ]) {
      expect(tokenizer.decode(tokenizer.encode(whole))).toBe(whole)
    }
    fc.assert(
      fc.property(text, (whole) => {
        // The mark that stands for a space in the vocabulary cannot be told from one.
        expect(tokenizer.decode(tokenizer.encode(whole))).toBe(whole.replaceAll('\u2581', ' '))
      }),
    )
  })

  it('takes a lone surrogate for U+FFFD', () => {
    expect(tokenizer.encode('a\ud83d b')).toEqual(tokenizer.encode('a\ufffd b'))
    expect(tokenizer.encode('\ude00\ud83d')).toEqual(tokenizer.encode('\ufffd\ufffd'))
  })

  it('streams the same text that it decodes, in whole characters', () => {
    const id = fc.nat({ max: tokenizer.vocabSize - 1 })
    const byte = fc.nat({ max: 255 }).map((value) => byteId(tokenizer, value))
    const encoded = text.map((whole) => tokenizer.encode(whole))
    const ids = fc
      .array(
        fc.oneof(
          id.map((one) => [one]),
          fc.array(byte, { maxLength: 6 }),
          encoded,
        ),
        { maxLength: 8 },
      )
      .map((parts) => parts.flat())
    fc.assert(
      fc.property(ids, (list) => {
        const stream = tokenizer.stream()
        const pieces = [...list.map((one) => stream.push(one)), stream.flush()]
        expect(pieces.every((piece) => piece.isWellFormed())).toBe(true)
        expect(pieces.join('')).toBe(tokenizer.decode(list))
      }),
    )
  })

  it('decodes bytes as UTF-8, whether valid or not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const ids = Array.from(bytes, (byte) => byteId(tokenizer, byte))
        expect(tokenizer.decode(ids)).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))
      }),
    )
  })

  it('holds back an unfinished character, and ends it with U+FFFD', () => {
    const bytes = [...new TextEncoder().encode('\u{1f9ff}')].map((byte) => byteId(tokenizer, byte))
    const whole = tokenizer.stream()
    expect(bytes.map((id) => whole.push(id))).toEqual(['', '', '', '\u{1f9ff}'])
    expect(whole.flush()).toBe('')

    const cut = tokenizer.stream()
    expect(bytes.slice(0, 3).map((id) => cut.push(id))).toEqual(['', '', ''])
    expect(cut.flush()).toBe('\ufffd')
    expect(cut.flush()).toBe('')
    expect(tokenizer.decode([bytes[0]!, ...tokenizer.encode('a')])).toBe('\ufffda')
    expect(tokenizer.decode(bytes.slice(0, 2))).toBe('\ufffd')
  })

  it('refuses ids out of range and names the range', () => {
    for (const id of [-1, tokenizer.vocabSize, 0.5, Number.NaN, 2 ** 40]) {
      const error = thrown(() => tokenizer.decode([300, id]))
      expect(error).toMatchObject({ code: 'invalid_request', field: 'ids' })
      expect(error.message).toBe(
        `Token id ${id} is not in the vocabulary; ids go from 0 to ${tokenizer.vocabSize - 1}.`,
      )
    }
  })

  it('encodes long and repetitive texts without growing slow', () => {
    const units = ['a', ' ', '\n', '-', '\u{1f9ff}', 'ab', 'find . -name "*.txt" and then some\n']
    const started = performance.now()
    for (const unit of units) {
      const whole = unit.repeat(Math.ceil(200_000 / unit.length))
      expect(tokenizer.decode(tokenizer.encode(whole))).toBe(whole)
    }
    // About a second altogether; a quadratic merge takes minutes.
    expect(performance.now() - started).toBeLessThan(20_000)
  })
})

describe('symbols that are text', () => {
  const names = (tokenizer: Tokenizer, whole: string) =>
    tokenizer.encode(whole).map((id) => tokenizer.tokenOf(id))

  it('stay whole, the longest first', () => {
    expect(names(sample, 'a\n\n\nb')).toEqual(['a', '\n\n', '\n', 'b'])
    expect(names(gemmaModel, `${'\n'.repeat(40)}a`)).toEqual(['\n'.repeat(31), '\n'.repeat(9), 'a'])
    expect(names(gemmaModel, 'a<table>  b')).toEqual(['a', '<table>', '\u2581\u2581', 'b'])
  })

  it('merge characters that have no entry of their own', () => {
    expect(gemmaModel.idOf('\t')).toBeUndefined()
    expect(names(gemmaModel, 'a\t\tb\tc')).toEqual(['a', '\t\t', 'b', '<0x09>', 'c'])
  })

  it('are not taken for control tokens where a tool marked them special', () => {
    const json = sampleJson()
    for (const token of json.added_tokens) token.special = true
    expect(tokenizerFromJson(json).decode([108, 109])).toBe('\n\n\n')
  })
})

function byteId(tokenizer: Tokenizer, byte: number): number {
  const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
  return tokenizer.idOf(name) ?? tokenizer.idOf(String.fromCharCode(byte))!
}

function thrown(act: () => unknown): FacetError {
  try {
    act()
  } catch (error) {
    if (error instanceof FacetError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
