/** Protobuf messages by hand: a few writers, and a reader that trusts no byte it is given. */
import { BinaryReader, type BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

export function writeInt(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value)
}

export function writeText(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value)
}

export function writeMessage(writer: BinaryWriter, field: number, fill: (inner: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork()
  fill(writer)
  writer.join()
}

export type Readers = Readonly<Record<number, (field: Field) => void>>

/**
 * Hands each field of a message to the reader of its number, in the order of the bytes; skips the rest.
 *
 * @throws Error of any kind when the bytes are not protobuf, or a field is not what its reader wants
 */
export function eachField(bytes: Uint8Array, readers: Readers): void {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag()
    const read = Object.hasOwn(readers, number) ? readers[number] : undefined
    if (read) read(new Field(reader, wireType))
    else reader.skip(wireType, number)
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** One field, read as what it should be. */
export class Field {
  readonly #reader: BinaryReader
  readonly #wireType: WireType

  constructor(reader: BinaryReader, wireType: WireType) {
    this.#reader = reader
    this.#wireType = wireType
  }

  int(): number {
    this.#expect(WireType.Varint)
    return toSafe(this.#reader.int64())
  }

  bool(): boolean {
    return this.int() !== 0
  }

  /** Repeated integers come one by one, or packed. */
  ints(): number[] {
    if (this.#wireType === WireType.Varint) return [this.int()]
    const packed = new BinaryReader(this.bytes())
    const values: number[] = []
    while (packed.pos < packed.len) values.push(toSafe(packed.int64()))
    return values
  }

  float(): number {
    this.#expect(WireType.Bit32)
    return this.#reader.float()
  }

  bytes(): Uint8Array {
    this.#expect(WireType.LengthDelimited)
    return this.#reader.bytes()
  }

  text(): string {
    return UTF8.decode(this.bytes())
  }

  #expect(wireType: WireType): void {
    if (this.#wireType !== wireType) throw new TypeError(`wire type ${this.#wireType}, wanted ${wireType}`)
  }
}

/** A protobuf or decimal integer as a number that holds it exactly. */
export function toSafe(value: bigint | string): number {
  const number = typeof value === 'bigint' || /^-?\d+$/.test(value) ? Number(value) : Number.NaN
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is not a safe integer`)
  return number
}
