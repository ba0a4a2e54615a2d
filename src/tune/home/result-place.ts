/** Where a run's result lies: its folder in a bucket, or on this machine, read file by file. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { copyFile, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { FacetError } from '../../errors.ts'
import { gcs } from '../../pull/gcs.ts'
import type { Listing, RemoteFile, Site } from '../../pull/listing.ts'
import { transfer } from '../../pull/transfer.ts'
import type { Web } from '../../pull/web.ts'
import type { TokenSource } from '../../types.ts'
import type { JobFile } from '../job/job.ts'
import { DONE_FILE } from './done.ts'

export interface ResultPlace {
  /** For people. */
  readonly label: string
  /** A small file that the run wrote, such as done.json; undefined where there is none. */
  text(path: string): Promise<string | undefined>
  /** Paths of the files in this folder and below, relative to it; none where there is no such folder. */
  list(folder: string): Promise<string[]>
  /**
   * Brings one file, going on with `partial`, which takes the name `target` once its sha256 is right.
   *
   * @throws FacetError checksum_mismatch, not_found and as transfer does
   */
  bring(file: JobFile, partial: string, target: string, onSize: (sizeBytes: number) => void): Promise<void>
}

export interface PlaceOptions {
  readonly web: Web
  /** Whoever asks Cloud Storage; undefined: nobody. */
  readonly tokens: () => Promise<TokenSource | undefined>
  /** Of Cloud Storage, where it is another. */
  readonly endpoint?: string
  readonly signal: AbortSignal
}

/** @param out what the job wrote to: `gs://bucket/folder`, or a folder */
export function openPlace(out: string, options: PlaceOptions): ResultPlace {
  const [, bucket, folder = ''] = /^gs:\/\/([^/]+)\/?(.*?)\/*$/.exec(out) ?? []
  return bucket === undefined ? new LocalPlace(out) : new BucketPlace(bucket, folder, options)
}

class BucketPlace implements ResultPlace {
  readonly #site: Site
  readonly #options: PlaceOptions
  readonly label: string
  #listing: Promise<Listing> | undefined

  constructor(bucket: string, folder: string, options: PlaceOptions) {
    this.label = `gs://${bucket}/${folder}`
    this.#site = gcs(options.web, bucket, folder, options.tokens, options.endpoint)
    this.#options = options
  }

  async text(path: string): Promise<string | undefined> {
    const remote = await this.#find(path)
    return remote && (await this.#options.web.get(remote.url, this.#site, path)).text()
  }

  async list(folder: string): Promise<string[]> {
    this.#listing ??= this.#site.list()
    const { files } = await this.#listing
    return files.flatMap(({ path }) => (path.startsWith(`${folder}/`) ? [path.slice(folder.length + 1)] : []))
  }

  async bring(
    { path, bytes, sha256 }: JobFile,
    partial: string,
    target: string,
    onSize: (sizeBytes: number) => void,
  ): Promise<void> {
    const { web, signal } = this.#options
    const found = await this.#find(`result/${path}`)
    if (!found) throw missing(this.label, path)
    if (found.sizeBytes !== bytes) throw differs(path, `has ${found.sizeBytes} bytes instead of ${bytes}`)
    const remote: RemoteFile = { ...found, path, digest: { algorithm: 'sha256', hex: sha256 } }
    await transfer(remote, partial, target, web, this.#site, { onSize, signal, onRestart: () => {} })
  }

  async #find(path: string): Promise<RemoteFile | undefined> {
    this.#listing ??= this.#site.list()
    return (await this.#listing).files.find((file) => file.path === path)
  }
}

class LocalPlace implements ResultPlace {
  readonly label: string

  constructor(out: string) {
    this.label = out
  }

  async text(path: string): Promise<string | undefined> {
    return readFile(join(this.label, path), 'utf8').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') throw this.#unreadable(cause)
      if (existsSync(this.label)) return undefined
      const says = `There is no folder ${this.label}; start the run, or name the folder that it wrote to.`
      throw new FacetError('not_found', says, { field: 'from', cause })
    })
  }

  async list(folder: string): Promise<string[]> {
    const top = join(this.label, folder)
    const entries = await readdir(top, { recursive: true, withFileTypes: true }).catch(
      (cause: NodeJS.ErrnoException) => {
        if (cause.code === 'ENOENT') return []
        throw this.#unreadable(cause)
      },
    )
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(top, join(entry.parentPath, entry.name)).split(sep).join('/'))
  }

  #unreadable(cause: NodeJS.ErrnoException): FacetError {
    return new FacetError('io_failed', `${this.label} cannot be read (${cause.code}); check it.`, { cause })
  }

  async bring(
    { path, bytes, sha256 }: JobFile,
    partial: string,
    target: string,
    onSize: (sizeBytes: number) => void,
  ): Promise<void> {
    const from = join(this.label, 'result', ...path.split('/'))
    if (!(await stat(from).catch(() => undefined))?.isFile()) throw missing(this.label, path)
    await copyFile(from, partial)
    onSize(bytes)
    if ((await sha256Of(partial)) !== sha256) {
      await rm(partial, { force: true })
      throw differs(path, 'has another sha256')
    }
    await rename(partial, target)
  }
}

/** In hexadecimal, read as a stream. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(file)) hash.update(piece as Uint8Array)
  return hash.digest('hex')
}

function missing(label: string, path: string): FacetError {
  const says = `${label}/result lacks ${path}, which ${DONE_FILE} names; delete ${DONE_FILE} and start the run again.`
  return new FacetError('not_found', says, { field: path })
}

function differs(path: string, how: string): FacetError {
  const says = `${path} ${how}, as ${DONE_FILE} says; it was changed after the run, or is damaged.`
  return new FacetError('checksum_mismatch', says, { field: path })
}
