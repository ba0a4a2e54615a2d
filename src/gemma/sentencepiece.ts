/** Reads `tokenizer.model`, the file of SentencePiece (sentencepiece_model.proto). */
import { FacetError } from '../errors.ts'
import { eachField } from './protobuf.ts'
import type { Tokenizer } from './tokenizer.ts'
import { BpeTokenizer } from './tokenizer-bpe.ts'
import type { Merges } from './tokenizer-merge.ts'
import { Vocabulary } from './tokenizer-vocabulary.ts'

const FILE = 'tokenizer.model'

type PieceKind = 'normal' | 'unknown' | 'control' | 'userDefined' | 'unused' | 'byte'
/** `ModelProto.SentencePiece.Type`. */
export const PieceType: Readonly<Record<PieceKind, number>> = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
}
/** `TrainerSpec.ModelType`. */
export const BPE = 2

/** One entry of the vocabulary; its place in the list is its id. */
export interface Piece {
  token: string
  /** Higher merges first. */
  score: number
  /** One of PieceType. */
  type: number
}

/** The settings that change how a text is tokenized, with the defaults of the proto. */
interface Settings {
  modelType: number
  byteFallback: boolean
  whitespaceAsSuffix: boolean
  charsMap: boolean
  dummyPrefix: boolean
  removeExtraWhitespaces: boolean
  escapeWhitespaces: boolean
}

/**
 * Reads a SentencePiece model of the Gemma family: byte-pair encoding, identity normalization, byte
 * fallback, no dummy prefix.
 *
 * @throws FacetError invalid_checkpoint, when the bytes are no such file or it is not of Gemma's kind
 */
export function tokenizerFromModel(bytes: Uint8Array): Tokenizer {
  const { pieces, settings } = readModel(bytes)
  if (pieces.length === 0) fail('holds no vocabulary')
  refuseOtherKinds(settings)
  for (const [id, { token, score, type }] of pieces.entries()) {
    if (!Number.isFinite(score)) fail(`gives the piece ${JSON.stringify(token)} the score ${score}`)
    if (type < PieceType.normal || type > PieceType.byte) fail(`gives piece ${id} the unknown type ${type}`)
    // Their merges would have to be undone afterwards; no Gemma has any.
    if (type === PieceType.unused) fail(`marks the piece ${JSON.stringify(token)} as unused`)
  }
  const vocabulary = new Vocabulary(
    pieces.map(({ token, type }) => ({
      token,
      control: type === PieceType.control || type === PieceType.unknown,
    })),
    FILE,
  )
  return new BpeTokenizer({
    vocabulary,
    merges: new ScoredMerges(pieces, vocabulary),
    typedSymbols: [],
    markedSymbols: [...pieces.keys()].filter(
      (id) => pieces[id]!.type === PieceType.userDefined && vocabulary.isText(id),
    ),
  })
}

/**
 * The vocabulary of a SentencePiece model, by id.
 *
 * @throws FacetError invalid_checkpoint
 */
export function piecesFrom(bytes: Uint8Array): readonly Piece[] {
  return readModel(bytes).pieces
}

/** SentencePiece's rule: two neighbours merge if they form a piece; its score says when. */
class ScoredMerges implements Merges {
  readonly ranks: Int32Array
  readonly results: Int32Array
  readonly #vocabulary: Vocabulary

  constructor(pieces: readonly Piece[], vocabulary: Vocabulary) {
    const scores = [...new Set(pieces.map(({ score }) => score))].sort((a, b) => b - a)
    const rankOf = new Map(scores.map((score, rank) => [score, rank]))
    this.ranks = Int32Array.from(pieces, ({ score }) => rankOf.get(score)!)
    this.results = Int32Array.from(pieces.keys())
    this.#vocabulary = vocabulary
  }

  find(left: number, right: number): number {
    const id = this.#vocabulary.idOf(this.#text(left) + this.#text(right))
    // Text typed by a user must not grow into a control token or into a byte.
    return id !== undefined && this.#vocabulary.isText(id) ? id : -1
  }

  #text(symbol: number): string {
    const { tokens } = this.#vocabulary
    return tokens[symbol] ?? String.fromCodePoint(symbol - tokens.length)
  }
}

function refuseOtherKinds(settings: Settings): void {
  const demands: readonly (readonly [boolean, string])[] = [
    [settings.modelType === BPE, 'is not a byte-pair model'],
    [settings.byteFallback, 'has no byte fallback'],
    [!settings.whitespaceAsSuffix, 'writes spaces as suffixes'],
    [!settings.charsMap, 'normalizes characters'],
    [!settings.dummyPrefix, 'adds a space in front of the text'],
    [!settings.removeExtraWhitespaces, 'removes spaces'],
    [settings.escapeWhitespaces, 'does not mark spaces'],
  ]
  for (const [holds, problem] of demands) if (!holds) fail(`${problem}, as no Gemma does`)
}

function readModel(bytes: Uint8Array): { pieces: Piece[]; settings: Settings } {
  const pieces: Piece[] = []
  const settings: Settings = {
    modelType: 1,
    byteFallback: false,
    whitespaceAsSuffix: false,
    charsMap: false,
    dummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  }
  try {
    eachField(bytes, {
      1: (field) => pieces.push(readPiece(field.bytes())),
      2: (field) =>
        eachField(field.bytes(), {
          3: (spec) => (settings.modelType = spec.int()),
          24: (spec) => (settings.whitespaceAsSuffix = spec.bool()),
          35: (spec) => (settings.byteFallback = spec.bool()),
        }),
      3: (field) =>
        eachField(field.bytes(), {
          2: (spec) => (settings.charsMap = spec.bytes().length > 0),
          3: (spec) => (settings.dummyPrefix = spec.bool()),
          4: (spec) => (settings.removeExtraWhitespaces = spec.bool()),
          5: (spec) => (settings.escapeWhitespaces = spec.bool()),
        }),
    })
  } catch (cause) {
    fail('is not a SentencePiece model', cause)
  }
  return { pieces, settings }
}

function readPiece(bytes: Uint8Array): Piece {
  const piece: Piece = { token: '', score: 0, type: PieceType.normal }
  eachField(bytes, {
    1: (field) => (piece.token = field.text()),
    2: (field) => (piece.score = field.float()),
    3: (field) => (piece.type = field.int()),
  })
  return piece
}

function fail(problem: string, cause?: unknown): never {
  throw new FacetError('invalid_checkpoint', `${FILE} ${problem}; take the file from the Gemma checkpoint.`, {
    field: FILE,
    cause,
  })
}
