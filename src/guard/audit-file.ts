/** `gemfacet/guard/node`: the audit log as a file of JSON lines that is rotated, with its key beside it. */
import { randomBytes } from 'node:crypto'
import { appendFile, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { FacetError } from '../errors.ts'
import type { AuditRecord } from './audit.ts'

export interface AuditFileOptions {
  /** A file that would grow beyond is rotated first. Default 10 MiB. */
  readonly mostBytes?: number
  /** Rotated files that are kept: `audit.jsonl.1` is the newest. Default 5. */
  readonly keep?: number
}

const MOST_BYTES = 10 * 2 ** 20
const KEEP = 5
const KEY_BYTES = 32

/** Lines go into the file in the order in which they are given. */
export class AuditFile {
  readonly path: string
  readonly key: Uint8Array<ArrayBuffer>
  readonly #mostBytes: number
  readonly #keep: number
  #last: Promise<void> = Promise.resolve()
  #sizeBytes: number

  private constructor(
    path: string,
    key: Uint8Array<ArrayBuffer>,
    sizeBytes: number,
    options: AuditFileOptions,
  ) {
    this.path = path
    this.key = key
    this.#sizeBytes = sizeBytes
    this.#mostBytes = options.mostBytes ?? MOST_BYTES
    this.#keep = options.keep ?? KEEP
  }

  /** Makes the key where there is none. @throws FacetError io_failed */
  static async open(path: string, options: AuditFileOptions = {}): Promise<AuditFile> {
    try {
      const key = await keyOf(`${path}.key`)
      // What cannot be written must be known before anything is judged.
      await appendFile(path, '', { mode: 0o600 })
      return new AuditFile(path, key, (await stat(path)).size, options)
    } catch (error) {
      throw toIoError(error, path)
    }
  }

  /** @throws FacetError io_failed: the record is lost, and those after it are tried again */
  append(record: AuditRecord): Promise<void> {
    const line = `${JSON.stringify(record)}\n`
    const written = this.#last.then(() => this.#write(line))
    this.#last = written.catch(() => {})
    return written
  }

  async #write(line: string): Promise<void> {
    const bytes = Buffer.byteLength(line)
    try {
      if (this.#sizeBytes > 0 && this.#sizeBytes + bytes > this.#mostBytes) await this.#rotate()
      await appendFile(this.path, line, { mode: 0o600 })
      this.#sizeBytes += bytes
    } catch (error) {
      throw toIoError(error, this.path)
    }
  }

  async #rotate(): Promise<void> {
    for (let number = this.#keep; number >= 1; number--) {
      const from = number === 1 ? this.path : `${this.path}.${number - 1}`
      await rename(from, `${this.path}.${number}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
    }
    this.#sizeBytes = 0
  }
}

async function keyOf(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const made = new Uint8Array(randomBytes(KEY_BYTES))
  try {
    // Of two processes that begin at once, one makes it.
    await writeFile(path, made, { flag: 'wx', mode: 0o600 })
    return made
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const found = new Uint8Array(await readFile(path))
  if (found.length === KEY_BYTES) return found
  throw new FacetError(
    'invalid_request',
    `${path} is no key of an audit log; remove it, and hashes begin anew.`,
    { field: 'guard-audit' },
  )
}

function toIoError(error: unknown, path: string): FacetError {
  if (error instanceof FacetError) return error
  const { code } = error as NodeJS.ErrnoException
  return new FacetError(
    'io_failed',
    `The audit log ${path} cannot be written (${code}); check its folder and disk.`,
    {
      field: 'guard-audit',
      cause: error,
    },
  )
}
