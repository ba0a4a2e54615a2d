/** The object headers of HDF5: the messages that say what a group or a dataset is. */
import { FacetError } from '../errors.ts'
import type { Dtype } from '../gemma/dtype.ts'
import type { Pages } from './hdf5-pages.ts'

export interface Message {
  readonly type: number
  readonly data: DataView
}

/** The types of messages that matter here. */
export const MESSAGE = {
  dataspace: 0x01,
  linkInfo: 0x02,
  datatype: 0x03,
  link: 0x06,
  externalFiles: 0x07,
  layout: 0x08,
  continuation: 0x10,
  symbolTable: 0x11,
} as const

const MAX_BLOCK_BYTES = 1024 * 1024
const MAX_MESSAGES = 4096
/** `OHDR` and `OCHK`, the blocks of version 2, as big-endian words. */
const OHDR = 0x4f484452
const OCHK = 0x4f43484b

interface Block {
  readonly address: number
  readonly length: number
}

/** All messages of one object, continuations followed. @throws FacetError invalid_checkpoint */
export async function readMessages(name: string, pages: Pages, address: number): Promise<Message[]> {
  const start = await pages.view(address, 16)
  const modern = start.getUint32(0) === OHDR
  if (!modern && start.getUint8(0) !== 1) fail(name, address, 'is no object header')
  const flags = modern ? start.getUint8(5) : 0
  const blocks: Block[] = [
    modern
      ? await firstBlock(pages, address, flags)
      : { address: address + 16, length: start.getUint32(8, true) },
  ]
  const messages: Message[] = []
  for (const { address: at, length } of blocks) {
    if (length > MAX_BLOCK_BYTES) fail(name, at, `claims ${length} bytes of header`)
    const view = await pages.view(at, length)
    for (const message of modern ? newMessages(view, flags) : oldMessages(view)) {
      if (messages.push(message) > MAX_MESSAGES) fail(name, address, 'has more messages than any model')
      if (message.type !== MESSAGE.continuation || message.data.byteLength < 16) continue
      const next = {
        address: pages.checked(message.data.getBigUint64(0, true)),
        length: pages.checked(message.data.getBigUint64(8, true)),
      }
      blocks.push(modern ? await continued(name, pages, next) : next)
    }
  }
  return messages
}

async function firstBlock(pages: Pages, address: number, flags: number): Promise<Block> {
  const at = address + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0)
  const width = 1 << (flags & 3)
  const view = await pages.view(at, width)
  const bytes = Array.from({ length: width }, (_, i) => view.getUint8(i))
  return { address: at + width, length: bytes.reduceRight((sum, byte) => sum * 256 + byte, 0) }
}

/** Between its signature and its checksum. */
async function continued(name: string, pages: Pages, { address, length }: Block): Promise<Block> {
  if (length < 8 || (await pages.view(address, 4)).getUint32(0) !== OCHK) {
    fail(name, address, 'is no continuation of an object header')
  }
  return { address: address + 4, length: length - 8 }
}

function* oldMessages(view: DataView): Generator<Message> {
  for (let at = 0; at + 8 <= view.byteLength; ) {
    const size = view.getUint16(at + 2, true)
    if (at + 8 + size > view.byteLength) return
    yield { type: view.getUint16(at, true), data: new DataView(view.buffer, view.byteOffset + at + 8, size) }
    at += 8 + size
  }
}

function* newMessages(view: DataView, flags: number): Generator<Message> {
  const head = flags & 4 ? 6 : 4
  for (let at = 0; at + head <= view.byteLength; ) {
    const size = view.getUint16(at + 1, true)
    if (at + head + size > view.byteLength) return
    yield { type: view.getUint8(at), data: new DataView(view.buffer, view.byteOffset + at + head, size) }
    at += head + size
  }
}

/** Little-endian floats; bfloat16 is also written as two opaque bytes, as NumPy has no type for it. */
export function dtypeIn(data: DataView): Dtype | undefined {
  if (data.byteLength < 8) return undefined
  const kind = data.getUint8(0) & 15
  const size = data.getUint32(4, true)
  if (kind === OPAQUE) return size === 2 ? 'bf16' : undefined
  if (kind !== FLOAT || data.getUint8(1) & 1 || data.byteLength < 20) return undefined
  const exponentBits = data.getUint8(13)
  if (size === 4) return exponentBits === 8 ? 'f32' : undefined
  if (size !== 2) return undefined
  return exponentBits === 5 ? 'f16' : exponentBits === 8 ? 'bf16' : undefined
}

const FLOAT = 1
const OPAQUE = 5

function fail(name: string, address: number, problem: string): never {
  const message = `${name}: what lies at byte ${address} ${problem}; download the file again.`
  throw new FacetError('invalid_checkpoint', message, { field: 'object header' })
}
