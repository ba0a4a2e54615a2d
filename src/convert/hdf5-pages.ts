/** A file read a page at a time, for formats whose parts point at each other. */
import { FacetError } from '../errors.ts'
import type { SourceFile } from './file-source.ts'

/** How HDF5 writes an address that leads nowhere. */
export const UNDEFINED: bigint = 0xffffffffffffffffn

const PAGE_BYTES = 64 * 1024
/** 16 MB; a model's headers take less than one. */
const MAX_PAGES = 256

export class Pages {
  readonly #name: string
  readonly #file: SourceFile
  readonly #pages = new Map<number, Uint8Array>()

  constructor(name: string, file: SourceFile) {
    this.#name = name
    this.#file = file
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes
  }

  /** @throws FacetError invalid_checkpoint when it reaches beyond the file */
  async view(address: number, length: number): Promise<DataView> {
    if (!(address >= 0 && length >= 0 && address + length <= this.sizeBytes)) throw this.#outside(address)
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; ) {
      const page = Math.floor((address + at) / PAGE_BYTES)
      const from = address + at - page * PAGE_BYTES
      const part = (await this.#page(page)).subarray(from, from + length - at)
      bytes.set(part, at)
      at += part.length
    }
    return new DataView(bytes.buffer)
  }

  /** The 64-bit address that is written there. */
  async address(at: number): Promise<number> {
    return this.checked((await this.view(at, 8)).getBigUint64(0, true))
  }

  /** @throws FacetError invalid_checkpoint when it is not inside the file */
  checked(address: bigint): number {
    if (address >= BigInt(this.sizeBytes)) throw this.#outside(address)
    return Number(address)
  }

  /** Up to the zero that ends it. */
  async text(address: number, maxBytes: number): Promise<string> {
    const { buffer } = await this.view(address, Math.max(0, Math.min(maxBytes, this.sizeBytes - address)))
    const bytes = new Uint8Array(buffer)
    const end = bytes.indexOf(0)
    return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end))
  }

  async #page(index: number): Promise<Uint8Array> {
    const known = this.#pages.get(index)
    if (known) return known
    const start = index * PAGE_BYTES
    const page = new Uint8Array(Math.min(PAGE_BYTES, this.sizeBytes - start))
    await this.#file.read(page, start)
    if (this.#pages.size >= MAX_PAGES) this.#pages.clear()
    this.#pages.set(index, page)
    return page
  }

  #outside(address: number | bigint): FacetError {
    const problem = `${this.#name}: an address, ${address}, lies outside the file; download the file again.`
    return new FacetError('invalid_checkpoint', problem, { field: 'address' })
  }
}
