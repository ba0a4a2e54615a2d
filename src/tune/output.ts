/** Folders of rows, made beside their place and renamed: whole, or not there at all. */
import { readdir } from 'node:fs/promises'
import { type Disk, fillDirectory, HashedFile, toIoError } from '../convert/output.ts'
import { FacetError } from '../errors.ts'
import type { FileEntry } from '../gemma/manifest.ts'

/**
 * Makes the folder `out` as `fillDirectory` does. One that is there may be taken if nothing is in it.
 *
 * @throws FacetError invalid_request (something is there), io_failed
 */
export async function fillFolder<T>(out: string, fill: (dir: string) => Promise<T>): Promise<T> {
  return fillDirectory(out, await isEmptyFolder(out), fill)
}

/** @returns false: nothing is there. @throws FacetError as `fillFolder` does */
export async function isEmptyFolder(out: string): Promise<boolean> {
  const contents = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    if (error.code === 'ENOTDIR') return ['']
    throw toIoError(error, out)
  })
  if (!contents) return false
  if (contents.length === 0) return true
  const what = contents[0] === '' ? 'is no folder' : 'is not empty'
  throw new FacetError('invalid_request', `${out} ${what}; choose another folder with --out.`, {
    field: 'out',
  })
}

/** Written at once. */
const BATCH_BYTES = 2 ** 18

/** A file that lines are appended to. */
export class LinesFile {
  readonly #file: HashedFile
  #open: Uint8Array[] = []
  #openBytes = 0

  private constructor(file: HashedFile) {
    this.#file = file
  }

  static write(
    disk: Disk,
    dir: string,
    name: string,
    fill: (lines: LinesFile) => Promise<void>,
  ): Promise<FileEntry> {
    return HashedFile.write(disk, dir, name, async (file) => {
      const lines = new LinesFile(file)
      await fill(lines)
      await lines.#flush()
    })
  }

  /** @param line without its end */
  async append(line: string | Uint8Array): Promise<void> {
    const bytes = typeof line === 'string' ? Buffer.from(line) : line
    this.#open.push(bytes, NEWLINE)
    this.#openBytes += bytes.length + 1
    if (this.#openBytes >= BATCH_BYTES) await this.#flush()
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#open)
    this.#open = []
    this.#openBytes = 0
    await this.#file.append(bytes)
  }
}

const NEWLINE: Uint8Array = new Uint8Array([0x0a])

/** A small file, whole. */
export function writeText(disk: Disk, dir: string, name: string, text: string): Promise<FileEntry> {
  return HashedFile.write(disk, dir, name, (file) => file.append(Buffer.from(text)))
}
