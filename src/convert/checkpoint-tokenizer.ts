/** The tokenizer among a checkpoint's files, and whether it belongs to the weights. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { TOKENIZER_FILES } from '../gemma/manifest.ts'
import { tokenizerFromModel } from '../gemma/sentencepiece.ts'
import type { Tokenizer } from '../gemma/tokenizer.ts'
import { tokenizerFromJson } from '../gemma/tokenizer-json.ts'
import { parseJson, readOptional } from './checkpoint-files.ts'

/** Embeddings are padded for the hardware, and Gemma 3's tokenizer has one token for images that its small models lack. */
const PADDING_ROWS = 512
const MISSING_ROWS = 1

/**
 * @param files by name
 * @returns undefined where there is none
 * @throws FacetError invalid_checkpoint when its tokens are not those of the embedding; what its reader throws
 */
export function tokenizerOf(
  files: ReadonlyMap<string, Uint8Array>,
  { vocabSize }: GemmaConfig,
): Tokenizer | undefined {
  const file = TOKENIZER_FILES.find((name) => files.has(name))
  if (file === undefined) return undefined
  const tokenizer = tokenizerFrom(file, files.get(file)!)
  const more = tokenizer.vocabSize - vocabSize
  if (more <= MISSING_ROWS && more >= -PADDING_ROWS) return tokenizer
  const problem = `${file} has ${tokenizer.vocabSize} tokens, but the embedding has ${vocabSize} rows`
  throw new FacetError('invalid_checkpoint', `${problem}; take both from the same model.`, { field: file })
}

/** A tokenizer as it lies in a directory. */
export interface TokenizerFile {
  readonly file: string
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly tokenizer: Tokenizer
}

/** @throws FacetError invalid_request: the directory has none; what its reader throws */
export async function readTokenizer(dir: string): Promise<TokenizerFile> {
  for (const file of TOKENIZER_FILES) {
    const bytes = await readOptional(dir, file)
    if (bytes) return { file, bytes: new Uint8Array(bytes), tokenizer: tokenizerFrom(file, bytes) }
  }
  const problem = `${dir} has neither ${TOKENIZER_FILES.join(' nor ')}; name another directory.`
  throw new FacetError('invalid_request', problem, { field: 'tokenizer' })
}

function tokenizerFrom(file: string, bytes: Uint8Array): Tokenizer {
  return file.endsWith('.json') ? tokenizerFromJson(parseJson(file, bytes)) : tokenizerFromModel(bytes)
}
