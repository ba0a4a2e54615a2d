/** A tokenizer's vocabulary: entries by id, ids by entry, and which of them are bytes or control tokens. */
import { FacetError } from '../errors.ts'

/** How Gemma's vocabularies write a space. */
export const SPACE_MARK = '\u2581'

/**
 * Control tokens of Gemma 1 to 3 that their files list as ordinary user-defined symbols. Other symbols
 * of that kind (runs of newlines or spaces, HTML tags) are text.
 */
const CONTROL =
  /^(?:<(?:pad|eos|bos|unk|mask|2mass|unused\d+|start_of_\w+|end_of_\w+|image_soft_token)>|\[(?:@BOS@|multimodal)\])$/
const BYTE = /^<0x([0-9A-F]{2})>$/

/** Whether a Gemma uses this entry for control, whatever its file says of it. */
export function isControl(token: string): boolean {
  return CONTROL.test(token)
}

/** One entry as a file gives it; its place in the list is its id. */
export interface VocabularyEntry {
  readonly token: string
  /** The file itself says that this is no text. */
  readonly control: boolean
}

export class Vocabulary {
  readonly tokens: readonly string[]
  /** By id: what decode leaves out and encode never gives. */
  readonly control: Uint8Array
  /** By id: the byte an entry like `<0x0A>` stands for, or -1. */
  readonly bytes: Int16Array
  /** By byte: the id that stands for it. */
  readonly byteIds: Int32Array
  readonly #ids = new Map<string, number>()

  /** @throws FacetError invalid_checkpoint for entries that are empty, doubled or not Unicode, and missing bytes */
  constructor(entries: readonly VocabularyEntry[], file: string) {
    this.tokens = entries.map(({ token }) => token)
    this.control = new Uint8Array(entries.length)
    this.bytes = new Int16Array(entries.length).fill(-1)
    this.byteIds = new Int32Array(256).fill(-1)
    for (const [id, { token, control }] of entries.entries()) {
      if (token === '' || !token.isWellFormed()) fail(file, `entry ${id} is empty or not valid Unicode`)
      if (this.#ids.has(token)) fail(file, `${JSON.stringify(token)} stands twice in the vocabulary`)
      this.#ids.set(token, id)
      const first = token.charCodeAt(0)
      const bracketed = first === 0x3c || first === 0x5b
      const byte = bracketed ? BYTE.exec(token)?.[1] : undefined
      // Some tools mark newlines as special when they save a tokenizer; leaving those out would ruin text.
      const named = bracketed && CONTROL.test(token)
      if (named || (control && token.trim() !== '')) this.control[id] = 1
      else if (byte !== undefined) {
        this.bytes[id] = Number.parseInt(byte, 16)
        this.byteIds[this.bytes[id]!] = id
      }
    }
    for (let byte = 0; byte < 256; byte++) {
      if (this.byteIds[byte] !== -1) continue
      // Converted Gemma tokenizers write the byte 0x09 as the tab itself.
      const id = byte < 128 ? this.#ids.get(String.fromCharCode(byte)) : undefined
      if (id === undefined) fail(file, `the vocabulary has no entry for the byte ${byte}`)
      this.byteIds[byte] = id
    }
  }

  idOf(token: string): number | undefined {
    return this.#ids.get(token)
  }

  /** True for entries that stand for their own text: neither control tokens nor bytes. */
  isText(id: number): boolean {
    return this.control[id] === 0 && this.bytes[id] === -1
  }
}

function fail(file: string, problem: string): never {
  throw new FacetError(
    'invalid_checkpoint',
    `${file}: ${problem}; download the tokenizer again from where the checkpoint came from.`,
    { field: file },
  )
}
