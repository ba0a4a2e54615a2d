import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tokenizer as Native } from 'tokenizers'
import { describe, expect, it } from 'vitest'
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
  sampleModelPath,
  type TokenizerJson,
  texts,
} from './tokenizer-files.ts'

interface SentencePiece {
  load(path: string): Promise<void>
  encodeIds(text: string): ArrayLike<number>
}
const require = createRequire(import.meta.url)
const { SentencePieceProcessor } = require('@agnai/sentencepiece-js') as {
  SentencePieceProcessor: new () => SentencePiece
}

const generated = texts()
const evaluation: Record<string, (string | string[])[]> = JSON.parse(
  readFileSync(new URL('../golden/facet-tldr-24m-eval.json', import.meta.url), 'utf8'),
)
const written = Object.values(evaluation).flat(2)
const long = [
  'a'.repeat(100_000),
  ' '.repeat(100_000),
  '\n'.repeat(100_000),
  '\u{1f600}'.repeat(25_000),
  'The quick brown fox jumps over the lazy dog, 42 times.\n\n'.repeat(3_500),
]
const loneSurrogates = ['\ud800', 'a\udfffb', '\udc00\ud800', '\ud83d\ud83d\ude00', 'x\ud83d']

/** Hugging Face's Rust library, with control tokens taken from its list as ours keeps them out of text. */
function nativeWithoutControl(json: TokenizerJson): Native {
  const added_tokens = json.added_tokens.filter(({ id }) => id >= FIRST_TEXT_ID)
  return Native.fromString(JSON.stringify({ ...json, added_tokens, post_processor: null }))
}

async function expectAgreementWithNative(json: TokenizerJson, list: readonly string[]): Promise<void> {
  const ours = tokenizerFromJson(json)
  const native = nativeWithoutControl(json)
  const encodings = await native.encodeBatch([...list], { addSpecialTokens: false })
  const ids = encodings.map((encoding) => encoding.getIds())
  const decoded = await native.decodeBatch(ids, false)
  const wrong = list.filter(
    (text, index) =>
      ours.encode(text).join() !== ids[index]!.join() || ours.decode(ids[index]!) !== decoded[index],
  )
  expect(wrong).toEqual([])
}

function expectAgreement(
  ours: Tokenizer,
  other: { encode(text: string): readonly number[] },
  list: readonly string[],
): void {
  expect(list.filter((text) => ours.encode(text).join() !== other.encode(text).join())).toEqual([])
}

async function sentencePiece(path: string): Promise<{ encode(text: string): number[] }> {
  const processor = new SentencePieceProcessor()
  await processor.load(path)
  return { encode: (text) => Array.from(processor.encodeIds(text)) }
}

describe('the generated texts', () => {
  it('are 10,000 different ones from all planes of Unicode', () => {
    expect(new Set(generated).size).toBe(10_000)
    const planes = new Set(generated.flatMap((text) => Array.from(text, (c) => c.codePointAt(0)! >> 16)))
    expect(planes.size).toBe(17)
    expect(written.length).toBeGreaterThan(8_000)
  })
})

describe("the sample's tokenizer", () => {
  it('agrees with the native tokenizers on every text', async () => {
    await expectAgreementWithNative(sampleJson(), [...generated, ...written, ...long, ...loneSurrogates])
  })

  it('agrees with SentencePiece on every text', async () => {
    const other = await sentencePiece(sampleModelPath)
    expectAgreement(tokenizerFromModel(sampleModel()), other, [...generated, ...written, ...long])
  })

  it('is the same from tokenizer.model as from tokenizer.json', () => {
    const [model, json] = [tokenizerFromModel(sampleModel()), tokenizerFromJson(sampleJson())]
    expect(model.vocabSize).toBe(json.vocabSize)
    for (let id = 0; id < json.vocabSize; id++) expect(model.tokenOf(id)).toBe(json.tokenOf(id))
    expectAgreement(model, json, [...generated, ...written, ...long, ...loneSurrogates])
  })
})

describe("Gemma's own vocabulary of 256,000", () => {
  it('agrees with the native tokenizers on every text', async () => {
    await expectAgreementWithNative(gemmaJson(), [...generated, ...written, ...long, ...loneSurrogates])
  })
  it('agrees with SentencePiece on every text, as tokenizer.model', async () => {
    const bytes = modelOf(gemmaPieces())
    const ours = tokenizerFromModel(bytes)
    const folder = mkdtempSync(join(tmpdir(), 'facet-tokenizer-'))
    try {
      writeFileSync(join(folder, 'tokenizer.model'), bytes)
      const other = await sentencePiece(join(folder, 'tokenizer.model'))
      expectAgreement(ours, other, [...generated, ...written, ...long])
    } finally {
      rmSync(folder, { recursive: true })
    }
    // The JSON file does not list the HTML tags as whole symbols; apart from those the two are the same.
    const untagged = [...generated, ...written].filter((text) => !text.includes('>'))
    expectAgreement(ours, tokenizerFromJson(gemmaJson()), untagged)
  })
})
