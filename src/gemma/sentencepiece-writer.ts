/** Writes `tokenizer.model`, the file of SentencePiece, for a vocabulary that came in another file. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { writeInt, writeMessage, writeText } from './protobuf.ts'
import { BPE, type Piece } from './sentencepiece.ts'

/** A model of the Gemma family, which sentencepiece.ts reads back: byte-pair merges, bytes, spaces as they are. */
export function toModelFile(pieces: readonly Piece[]): Uint8Array {
  const writer = new BinaryWriter()
  for (const { token, score, type } of pieces) {
    writeMessage(writer, 1, (piece) => {
      writeText(piece, 1, token)
      piece.tag(2, WireType.Bit32).float(score)
      writeInt(piece, 3, type)
    })
  }
  writeMessage(writer, 2, (trainer) => {
    writeInt(trainer, 3, BPE)
    writeInt(trainer, 35, 1)
  })
  writeMessage(writer, 3, (normalizer) => {
    // No dummy prefix, no removal of extra spaces; spaces are marked.
    writeInt(normalizer, 3, 0)
    writeInt(normalizer, 4, 0)
    writeInt(normalizer, 5, 1)
  })
  return writer.finish()
}
