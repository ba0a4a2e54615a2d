/** The tokenizer in a GGUF file's metadata: from it to `tokenizer.model`, and from a checkpoint's into it. */
import { FacetError } from '../errors.ts'
import { type Piece, PieceType, piecesFrom } from '../gemma/sentencepiece.ts'
import { toModelFile } from '../gemma/sentencepiece-writer.ts'
import { isControl } from '../gemma/tokenizer-vocabulary.ts'
import { parseJson } from './checkpoint-files.ts'
import type { GgufValue } from './gguf-header.ts'

/** GGUF numbers the kinds of tokens as SentencePiece does. */
const KINDS: readonly number[] = Object.values(PieceType)

/**
 * `tokenizer.model` with the vocabulary of the metadata, or undefined where there is none.
 *
 * @param file for messages
 * @throws FacetError invalid_checkpoint, unsupported
 */
export function toTokenizerModel(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
): Uint8Array | undefined {
  const kind = metadata.get('tokenizer.ggml.model')
  if (kind === undefined) return undefined
  if (kind !== 'llama') {
    const problem = `${file}: tokenizer.ggml.model is ${JSON.stringify(kind).slice(0, 40)}, but every Gemma's is "llama"; take the model from elsewhere.`
    throw new FacetError('unsupported', problem, { field: 'tokenizer.ggml.model' })
  }
  const list = (name: string): readonly unknown[] => {
    const value = metadata.get(`tokenizer.ggml.${name}`)
    return Array.isArray(value) ? value : fail(file, name, 'is not a list')
  }
  const tokens = list('tokens')
  const [scores, kinds] = [list('scores'), list('token_type')]
  for (const [name, values] of [
    ['scores', scores],
    ['token_type', kinds],
  ] as const) {
    if (values.length !== tokens.length) {
      fail(file, name, `has ${values.length} entries, but there are ${tokens.length} tokens`)
    }
  }
  const pieces = tokens.map((token, id): Piece => {
    const [score, type] = [scores[id], kinds[id]]
    if (typeof token !== 'string') return fail(file, `tokens[${id}]`, 'is not a text')
    if (typeof score !== 'number') return fail(file, `scores[${id}]`, 'is not a number')
    if (typeof type !== 'number' || !KINDS.includes(type))
      return fail(file, `token_type[${id}]`, 'is unknown')
    // What fills up the vocabulary is never text.
    return { token, score, type: type === PieceType.unused ? PieceType.control : type }
  })
  return toModelFile(pieces)
}

/**
 * The vocabulary for a GGUF file, from `tokenizer.model` or `tokenizer.json`.
 *
 * @throws FacetError tokenizer_missing, invalid_checkpoint
 */
export function vocabularyOf(files: ReadonlyMap<string, Uint8Array>, vocabSize: number): readonly Piece[] {
  const model = files.get('tokenizer.model')
  const json = files.get('tokenizer.json')
  if (!model && !json) {
    const problem =
      'The model has neither tokenizer.json nor tokenizer.model, and GGUF needs one; copy it there.'
    throw new FacetError('tokenizer_missing', problem, { field: 'tokenizer.model' })
  }
  const pieces = model ? piecesFrom(model) : fromTokenizerJson(parseJson('tokenizer.json', json!))
  if (pieces.length > vocabSize) {
    const problem = `The tokenizer has ${pieces.length} tokens, but the embedding only ${vocabSize}; take both from the same model.`
    throw new FacetError('invalid_checkpoint', problem, { field: 'vocab_size' })
  }
  const padding = Array.from({ length: vocabSize - pieces.length }, (_, index): Piece => {
    return { token: `[PAD${pieces.length + index}]`, score: -1e4, type: PieceType.unused }
  })
  // llama.cpp takes the file's word for what is control, where Facet knows the names.
  const typed = pieces.map((piece): Piece => {
    return isControl(piece.token) && piece.type !== PieceType.unknown
      ? { ...piece, type: PieceType.control }
      : piece
  })
  return [...typed, ...padding]
}

interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly unknown[] }
  readonly added_tokens?: readonly { id: number; content: string; special?: boolean }[]
}

/** The rank of a merge, negated, is the score that gives the same order. */
function fromTokenizerJson(json: unknown): Piece[] {
  const { model, added_tokens: added = [] } = json as TokenizerJson
  const scores = new Map<string, number>()
  for (const [rank, merge] of model.merges.entries()) {
    const token = Array.isArray(merge) ? merge.join('') : String(merge).replace(' ', '')
    if (!scores.has(token)) scores.set(token, -rank)
  }
  const pieces: Piece[] = []
  const last = -model.merges.length
  for (const [token, id] of Object.entries(model.vocab)) {
    const type = /^<0x[0-9A-F]{2}>$/.test(token) ? PieceType.byte : PieceType.normal
    pieces[id] = { token, score: scores.get(token) ?? last, type }
  }
  for (const { id, content, special } of added) {
    const type = content === '<unk>' ? PieceType.unknown : special ? PieceType.control : PieceType.userDefined
    pieces[id] = { token: content, score: 0, type }
  }
  return Array.from(
    pieces,
    (piece, id) => piece ?? { token: `[PAD${id}]`, score: last, type: PieceType.unused },
  )
}

function fail(file: string, field: string, problem: string): never {
  const name = `tokenizer.ggml.${field}`
  throw new FacetError('invalid_checkpoint', `${file}: ${name} ${problem}; download the file again.`, {
    field: name,
  })
}
