/** Text to token ids and back, exactly as SentencePiece does for Gemma. */

/** Turns token ids into text as they come; never hands out part of a character. */
export interface TextStream {
  /** The text that this token completes; '' while a character is unfinished. */
  push(id: number): string
  /** What is left at the end; unfinished bytes become U+FFFD. */
  flush(): string
}

export interface Tokenizer {
  readonly vocabSize: number
  /** No bos is added. Control tokens typed in the text stay text. */
  encode(text: string): number[]
  /** Control tokens are left out. */
  decode(ids: readonly number[]): string
  stream(): TextStream
  /** The id of a whole vocabulary entry, control tokens included, for example `<start_of_turn>`. */
  idOf(token: string): number | undefined
  /** The vocabulary entry of an id, control tokens included. */
  tokenOf(id: number): string | undefined
}
