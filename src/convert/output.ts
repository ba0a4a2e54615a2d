/** A directory that appears whole or not at all, and files that are hashed while they are written. */
import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { FacetError } from '../errors.ts'
import { CHUNK_BYTES, type FileEntry, MANIFEST_FILE } from '../gemma/manifest.ts'

/** The file system as far as it can run full. */
export interface Disk {
  /** Creates a file that must not exist yet. */
  create(path: string): Promise<DiskFile>
  freeBytes(dir: string): Promise<number>
}

export interface DiskFile {
  /** Appends some of the bytes, at least one, and says how many. */
  write(bytes: Uint8Array): Promise<{ bytesWritten: number }>
  /** Returns when the bytes are on the disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

export const disk: Disk = {
  create: (path) => open(path, 'wx'),
  async freeBytes(dir) {
    const { bavail, bsize } = await statfs(dir)
    return bavail * bsize
  },
}

/**
 * Makes `out` by filling a directory beside it, which takes its name once `fill` is done. When `fill`
 * fails nothing is left; when the process is killed, `out.partial-*` is, without a manifest.
 *
 * @param force replace what is there, if that is a model directory or empty
 * @throws FacetError invalid_request when `out` may not be written, io_failed when the disk refuses
 */
export async function fillDirectory<T>(
  out: string,
  force: boolean,
  fill: (dir: string) => Promise<T>,
): Promise<T> {
  const target = resolve(out)
  await checkTarget(target, force)
  const partial = beside(target, 'partial')
  try {
    await mkdir(partial)
    const result = await fill(partial)
    await moveTo(partial, target, force)
    return result
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    throw toIoError(error, out)
  }
}

/**
 * Makes the file `out`: `fill` appends its bytes to one beside it, which then takes its name.
 *
 * @throws FacetError invalid_request when something is there and `force` is not set, io_failed
 */
export async function fillFile(
  target: Disk,
  out: string,
  force: boolean,
  fill: (file: HashedFile) => Promise<void>,
): Promise<FileEntry> {
  const path = resolve(out)
  const found = await contentsOf(path)
  if (found && !force) refuse(`${path} already exists; choose another name, or replace it with --force`)
  const partial = beside(path, 'partial')
  try {
    const entry = await HashedFile.write(target, dirname(partial), basename(partial), fill)
    await rename(partial, path)
    return { ...entry, path: basename(path) }
  } catch (error) {
    await rm(partial, { force: true })
    throw toIoError(error, out)
  }
}

function beside(target: string, word: string): string {
  return join(dirname(target), `${basename(target)}.${word}-${randomBytes(4).toString('hex')}`)
}

/** Undefined: nothing is there. */
async function contentsOf(target: string): Promise<string[] | undefined> {
  const found = await lstat(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw toIoError(error, target)
  })
  if (!found) return undefined
  return found.isDirectory() ? readdir(target) : [basename(target)]
}

/** @throws FacetError invalid_request when fillDirectory would refuse to make this directory */
export async function checkTarget(out: string, force: boolean): Promise<void> {
  const target = resolve(out)
  const contents = await contentsOf(target)
  if (!contents) return
  if (!force) refuse(`${target} already exists; choose another directory, or replace it with --force`)
  if (contents.length > 0 && !contents.includes(MANIFEST_FILE)) {
    refuse(`${target} is not a model directory, so --force does not replace it; choose another directory`)
  }
}

function refuse(problem: string): never {
  throw new FacetError('invalid_request', `${problem}.`, { field: 'out' })
}

/** The old directory stays until the new one has its name. */
async function moveTo(partial: string, target: string, force: boolean): Promise<void> {
  await checkTarget(target, force)
  const old = (await contentsOf(target)) ? beside(target, 'replaced') : undefined
  if (old) await rename(target, old)
  try {
    await rename(partial, target)
  } catch (error) {
    if (old) await rename(old, target)
    throw error
  }
  if (old) await rm(old, { recursive: true, force: true })
}

/** One file being written. */
export class HashedFile {
  readonly #path: string
  readonly #file: DiskFile
  readonly #whole = createHash('sha256')
  readonly #chunks: string[] = []
  #chunk = createHash('sha256')
  #sizeBytes = 0

  private constructor(path: string, file: DiskFile) {
    this.#path = path
    this.#file = file
  }

  /** Writes a whole file: `fill` appends its bytes. */
  static async write(
    target: Disk,
    dir: string,
    path: string,
    fill: (file: HashedFile) => Promise<void>,
  ): Promise<FileEntry> {
    const handle = await target.create(join(dir, path))
    try {
      const file = new HashedFile(path, handle)
      await fill(file)
      await handle.sync()
      return file.#entry()
    } finally {
      await handle.close()
    }
  }

  /** Hashes the bytes while they are written. */
  async append(bytes: Uint8Array): Promise<void> {
    const written = this.#write(bytes)
    this.#hash(bytes)
    await written
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Appends zeros up to this size. */
  async padTo(sizeBytes: number): Promise<void> {
    await this.append(new Uint8Array(sizeBytes - this.#sizeBytes))
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes.subarray(at))
      at += bytesWritten
    }
  }

  #hash(bytes: Uint8Array): void {
    this.#whole.update(bytes)
    for (let at = 0; at < bytes.length; ) {
      const room = CHUNK_BYTES - (this.#sizeBytes % CHUNK_BYTES)
      const part = bytes.subarray(at, at + room)
      this.#chunk.update(part)
      at += part.length
      this.#sizeBytes += part.length
      if (part.length === room) this.#endChunk()
    }
  }

  #endChunk(): void {
    this.#chunks.push(this.#chunk.digest('hex'))
    this.#chunk = createHash('sha256')
  }

  #entry(): FileEntry {
    if (this.#sizeBytes % CHUNK_BYTES !== 0) this.#endChunk()
    const sha256 = this.#whole.digest('hex')
    return { path: this.#path, sizeBytes: this.#sizeBytes, sha256, chunks: this.#chunks }
  }
}

/** What the operating system's refusal means to whoever asked for `out`. */
export function toIoError(error: unknown, out: string): unknown {
  const code =
    error instanceof Error && 'code' in error && !(error instanceof FacetError) ? error.code : undefined
  if (typeof code !== 'string') return error
  const said = SENTENCES[code] ?? `cannot be written (${code}); check the path and the disk`
  return new FacetError('io_failed', `${out} ${said}.`, { field: 'out', cause: error })
}

const FULL = 'does not fit on its disk; nothing was left behind, so free some space or choose another place'
const FORBIDDEN = 'may not be written by this user; choose another place or change its permissions'

const SENTENCES: Readonly<Record<string, string>> = {
  ENOSPC: FULL,
  EDQUOT: FULL,
  EFBIG: 'has a file larger than this system allows; nothing was left behind, so choose another place',
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  EROFS: FORBIDDEN,
  ENOENT: 'is in a directory that does not exist; make that directory first',
  ENOTDIR: 'is below something that is not a directory; choose another place',
}
