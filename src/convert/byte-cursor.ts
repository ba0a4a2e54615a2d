/** Reads a file's little-endian beginnings in order, a window at a time, never past its end. */
import { FacetError } from '../errors.ts'
import type { SourceFile } from './file-source.ts'

const WINDOW_BYTES = 1024 * 1024

export class ByteCursor {
  /** Of the next byte, from the file's start. */
  position = 0
  readonly #name: string
  readonly #file: SourceFile
  readonly #endBytes: number
  #window: Uint8Array = new Uint8Array()
  #windowStart = 0

  /**
   * @param name the file's name, for messages
   * @param limitBytes how far it may be read
   */
  constructor(name: string, file: SourceFile, limitBytes: number) {
    this.#name = name
    this.#file = file
    this.#endBytes = Math.min(file.sizeBytes, limitBytes)
  }

  get leftBytes(): number {
    return this.#endBytes - this.position
  }

  async uint32(field: string): Promise<number> {
    return (await this.view(4, field)).getUint32(0, true)
  }

  /** @throws FacetError invalid_checkpoint when it is no exact number in JavaScript */
  async uint64(field: string): Promise<number> {
    const value = (await this.view(8, field)).getBigUint64(0, true)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#fail(field, `claims ${value}`)
    return Number(value)
  }

  /** A length, then so many bytes of UTF-8; what is not UTF-8 becomes U+FFFD. */
  async text(field: string): Promise<string> {
    const length = await this.uint64(field)
    if (length > this.leftBytes) throw this.#fail(field, `claims ${length} bytes, but the file ends before`)
    const { buffer, byteOffset } = await this.view(length, field)
    return DECODER.decode(new Uint8Array(buffer, byteOffset, length))
  }

  /** The next bytes, valid until the next call. */
  async view(length: number, field: string): Promise<DataView> {
    if (length > this.leftBytes) throw this.#fail(field, 'is cut off: the file ends before')
    const { position } = this
    if (position + length > this.#windowStart + this.#window.length) {
      const size = Math.min(Math.max(length, WINDOW_BYTES), this.leftBytes)
      this.#window = new Uint8Array(size)
      this.#windowStart = position
      await this.#file.read(this.#window, position)
    }
    this.position += length
    const { buffer, byteOffset } = this.#window
    return new DataView(buffer, byteOffset + position - this.#windowStart, length)
  }

  #fail(field: string, problem: string): FacetError {
    const message = `${this.#name}: ${field} ${problem}; download the file again.`
    return new FacetError('invalid_checkpoint', message, { field })
  }
}

const DECODER = new TextDecoder()
