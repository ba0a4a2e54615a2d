/** A file that is being downloaded: it grows, knows its hash so far, and can begin anew. */
import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { RemoteFile } from './listing.ts'

const PIECE_BYTES = 4 * 1024 * 1024

export class PartialFile {
  readonly #handle: FileHandle
  readonly #remote: RemoteFile
  #hash: Hash | undefined
  #sizeBytes = 0

  private constructor(handle: FileHandle, remote: RemoteFile) {
    this.#handle = handle
    this.#remote = remote
    this.#hash = hashOf(remote)
  }

  /** Opens or creates it; what is there already is hashed. */
  static async open(path: string, remote: RemoteFile): Promise<PartialFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644)
    const file = new PartialFile(handle, remote)
    try {
      const { size } = await handle.stat()
      if (size > (remote.sizeBytes ?? Number.POSITIVE_INFINITY)) await file.restart()
      else await file.#rehash(size)
      return file
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, this.#sizeBytes + at)
      at += bytesWritten
    }
    this.#hash?.update(bytes)
    this.#sizeBytes += bytes.length
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0)
    this.#hash = hashOf(this.#remote)
    this.#sizeBytes = 0
  }

  /** Whether the bytes are those the listing promised; true where it promised none. Asked once. */
  matches(): boolean {
    const { digest } = this.#remote
    return digest === undefined || this.#hash!.digest('hex') === digest.hex
  }

  /** Returns when the bytes are on the disk. */
  sync(): Promise<void> {
    return this.#handle.sync()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  async #rehash(size: number): Promise<void> {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, size))
    while (this.#sizeBytes < size) {
      const length = Math.min(piece.length, size - this.#sizeBytes)
      const { bytesRead } = await this.#handle.read(piece, 0, length, this.#sizeBytes)
      if (bytesRead === 0) return
      this.#hash?.update(piece.subarray(0, bytesRead))
      this.#sizeBytes += bytesRead
    }
  }
}

function hashOf({ digest, sizeBytes }: RemoteFile): Hash | undefined {
  if (!digest) return undefined
  if (digest.algorithm !== 'blob-sha1') return createHash(digest.algorithm)
  return createHash('sha1').update(`blob ${sizeBytes}\0`)
}
