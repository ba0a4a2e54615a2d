/**
 * The part of HDF5 that Keras writes: groups and contiguous datasets of floats, found without believing
 * a pointer unchecked (HDF5 File Format Specification 3.0). Nothing outside the file is ever opened,
 * which the format could ask for.
 */
import { FacetError } from '../errors.ts'
import type { Dtype } from '../gemma/dtype.ts'
import { DTYPE_BYTES } from '../gemma/dtype.ts'
import { countOf } from './checkpoint.ts'
import type { SourceFile } from './file-source.ts'
import { dtypeIn, MESSAGE, type Message, readMessages } from './hdf5-object.ts'
import { Pages, UNDEFINED } from './hdf5-pages.ts'

export interface Hdf5Dataset {
  /** From the root, for example `layers/reversible_embedding/vars/0`. */
  readonly path: string
  readonly shape: readonly number[]
  readonly dtype: Dtype
  /** First byte, counted from the start of the file. */
  readonly offset: number
}

const MAX_OBJECTS = 100_000
const MAX_DEPTH = 32
const MAX_RANK = 8
const MAX_SYMBOLS = 1024
const MAX_NAME_BYTES = 1024

/**
 * Every contiguous dataset of floats below the root; other datasets are left out.
 *
 * @param name the file's name, for messages
 * @throws FacetError invalid_checkpoint, unsupported for groups stored in a newer way than Keras stores them
 */
export async function readHdf5(name: string, file: SourceFile): Promise<readonly Hdf5Dataset[]> {
  const walk = new Walk(name, new Pages(name, file))
  await walk.object(await walk.root(), '', 0)
  return walk.datasets
}

class Walk {
  readonly datasets: Hdf5Dataset[] = []
  readonly #name: string
  readonly #pages: Pages
  /** Addresses of objects, so that groups which contain themselves end. */
  readonly #seen = new Set<number>()

  constructor(name: string, pages: Pages) {
    this.#name = name
    this.#pages = pages
  }

  /** Address of the root group's object header. */
  async root(): Promise<number> {
    const pages = this.#pages
    const head = await pages.view(0, 16)
    if (head.getBigUint64(0) !== 0x894844460d0a1a0an) throw this.#fail('signature', 'is not that of HDF5')
    const version = head.getUint8(8)
    const sizes = version < 2 ? [head.getUint8(13), head.getUint8(14)] : [head.getUint8(9), head.getUint8(10)]
    if (version > 3 || sizes.some((size) => size !== 8)) {
      throw this.#fail('superblock', `is of version ${version} with addresses of ${sizes} bytes`)
    }
    if (version >= 2) return pages.address(36)
    return pages.address((version === 0 ? 24 : 28) + 4 * 8 + 8)
  }

  async object(address: number, path: string, depth: number): Promise<void> {
    if (this.#seen.has(address)) return
    this.#seen.add(address)
    if (depth > MAX_DEPTH || this.#seen.size > MAX_OBJECTS)
      throw this.#fail(path, 'is nested deeper than any model')
    const messages = await readMessages(this.#name, this.#pages, address)
    if (messages.some(({ type }) => type === MESSAGE.layout)) return this.#dataset(messages, path)
    for (const { type, data } of messages) {
      if (type === MESSAGE.symbolTable) await this.#symbolTable(data, path, depth)
      if (type === MESSAGE.link) await this.#link(data, path, depth)
      if (type === MESSAGE.linkInfo) this.#refuseDense(data, path)
    }
  }

  #dataset(messages: readonly Message[], path: string): void {
    const of = (type: number): DataView | undefined => messages.find((message) => message.type === type)?.data
    const [layout, space, datatype] = [of(MESSAGE.layout)!, of(MESSAGE.dataspace), of(MESSAGE.datatype)]
    const dtype = datatype && dtypeIn(datatype)
    const external = of(MESSAGE.externalFiles) !== undefined
    if (!space || !dtype || external || layout.byteLength < 18) return
    // Version 3 or 4, contiguous.
    if (![3, 4].includes(layout.getUint8(0)) || layout.getUint8(1) !== 1) return
    const rank = space.byteLength >= 4 ? space.getUint8(1) : 0
    const first = space.byteLength >= 4 && space.getUint8(0) === 2 ? 4 : 8
    if (rank > MAX_RANK || space.byteLength < first + rank * 8) throw this.#fail(path, 'has no sound shape')
    const shape = Array.from({ length: rank }, (_, i) => Number(space.getBigUint64(first + i * 8, true)))
    const offset = Number(layout.getBigUint64(2, true))
    const bytes = countOf(shape) * DTYPE_BYTES[dtype]
    if (layout.getBigUint64(2, true) === UNDEFINED) throw this.#fail(path, 'was never written')
    if (Number(layout.getBigUint64(10, true)) !== bytes || offset + bytes > this.#pages.sizeBytes) {
      throw this.#fail(path, `has the shape [${shape}] in ${dtype}, which is not what lies in the file`)
    }
    this.datasets.push({ path, shape, dtype, offset })
  }

  async #link(data: DataView, path: string, depth: number): Promise<void> {
    if (data.byteLength < 3) throw this.#fail(path, 'has a link that is cut off')
    const flags = data.getUint8(1)
    let at = 2
    const isHard = !(flags & 8) || data.getUint8(at) === 0
    at += (flags & 8 ? 1 : 0) + (flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0)
    const width = 1 << (flags & 3)
    if (width > 2 || at + width > data.byteLength) throw this.#fail(path, 'has a link that is cut off')
    const length = width === 1 ? data.getUint8(at) : data.getUint16(at, true)
    at += width
    // Soft and external links are not followed.
    if (!isHard) return
    if (at + length + 8 > data.byteLength) throw this.#fail(path, 'has a link that is cut off')
    const name = new TextDecoder().decode(new Uint8Array(data.buffer, data.byteOffset + at, length))
    await this.object(this.#pages.checked(data.getBigUint64(at + length, true)), join(path, name), depth + 1)
  }

  #refuseDense(data: DataView, path: string): void {
    const at = 2 + (data.byteLength > 1 && data.getUint8(1) & 1 ? 8 : 0)
    if (data.byteLength < at + 8) throw this.#fail(path, 'has links that are cut off')
    if (data.getBigUint64(at, true) === UNDEFINED) return
    const problem = `${this.#name}: ${path || 'the root'} stores its links in a way Keras does not; take the transformers variation.`
    throw new FacetError('unsupported', problem, { field: path })
  }

  async #symbolTable(data: DataView, path: string, depth: number): Promise<void> {
    if (data.byteLength < 16) throw this.#fail(path, 'has a symbol table that is cut off')
    const tree = this.#pages.checked(data.getBigUint64(0, true))
    const heap = this.#pages.checked(data.getBigUint64(8, true))
    const head = await this.#signed(heap, 32, 'HEAP')
    const names = this.#pages.checked(head.getBigUint64(24, true))
    await this.#tree(tree, names, path, depth, 0)
  }

  async #tree(address: number, names: number, path: string, depth: number, level: number): Promise<void> {
    if (level > 8) throw this.#fail(path, 'has an index deeper than any model')
    const head = await this.#signed(address, 24, 'TREE')
    const [leaf, count] = [head.getUint8(5) === 0, head.getUint16(6, true)]
    if (count > MAX_SYMBOLS) throw this.#fail(path, 'has more entries than any model')
    for (let i = 0; i < count; i++) {
      const child = await this.#pages.address(address + 24 + 8 + i * 16)
      // Indexes are objects too: one that contains itself must end.
      if (this.#seen.has(child)) continue
      this.#seen.add(child)
      if (leaf) await this.#symbols(child, names, path, depth)
      else await this.#tree(child, names, path, depth, level + 1)
    }
  }

  async #symbols(address: number, names: number, path: string, depth: number): Promise<void> {
    const count = (await this.#signed(address, 8, 'SNOD')).getUint16(6, true)
    if (count > MAX_SYMBOLS) throw this.#fail(path, 'has more entries than any model')
    for (let i = 0; i < count; i++) {
      const entry = await this.#pages.view(address + 8 + i * 40, 24)
      const isSoft = entry.getUint32(16, true) === 2
      if (isSoft) continue
      const name = await this.#pages.text(
        names + this.#pages.checked(entry.getBigUint64(0, true)),
        MAX_NAME_BYTES,
      )
      const header = this.#pages.checked(entry.getBigUint64(8, true))
      await this.object(header, join(path, name), depth + 1)
    }
  }

  async #signed(address: number, length: number, signature: string): Promise<DataView> {
    const view = await this.#pages.view(address, length)
    const found = String.fromCharCode(...Array.from({ length: 4 }, (_, i) => view.getUint8(i)))
    if (found === signature) return view
    throw this.#fail(signature, `is missing at byte ${address}`)
  }

  #fail(field: string, problem: string): FacetError {
    const message = `${this.#name}: ${field || 'the root'} ${problem}; download the file again.`
    return new FacetError('invalid_checkpoint', message, { field })
  }
}

function join(path: string, name: string): string {
  return path ? `${path}/${name}` : name
}
