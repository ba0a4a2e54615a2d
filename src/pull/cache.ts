/** The cache on disk, as Hugging Face's own tools lay it out: blobs by hash, snapshots that link to them, refs. */
import { copyFile, mkdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import type { RemoteFile } from './listing.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Where Hugging Face's tools keep models, by the same variables. */
export function hubCache(env: Env): string {
  return env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hubHome(env), 'hub')
}

/** Where Hugging Face's tools keep the token and the rest. */
export function hubHome(env: Env): string {
  return env.HF_HOME || join(cacheHome(env), 'huggingface')
}

/** Models from elsewhere, in the same layout. */
export function ownCache(env: Env): string {
  return env.FACET_CACHE || join(cacheHome(env), 'facet')
}

function cacheHome(env: Env): string {
  return env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache')
}

/** One model's folder. */
export class ModelCache {
  readonly root: string
  readonly #folder: string

  /** @param root the cache; @param folder the model's own name in it */
  constructor(root: string, folder: string) {
    this.root = root
    this.#folder = folder
  }

  /** Beside the locks of Hugging Face's tools, under a name that they do not use. */
  get lock(): string {
    return join(this.root, '.locks', this.#folder, 'facet.lock')
  }

  blob({ blob }: RemoteFile): string {
    return join(this.root, this.#folder, 'blobs', blob)
  }

  /** Not `.incomplete`, which other tools may be writing. */
  partial(file: RemoteFile): string {
    return `${this.blob(file)}.facet-partial`
  }

  snapshot(revision: string): string {
    return join(this.root, this.#folder, 'snapshots', revision)
  }

  async prepare(): Promise<void> {
    for (const name of ['blobs', 'refs', 'snapshots']) {
      await mkdir(join(this.root, this.#folder, name), { recursive: true })
    }
  }

  /** Whether the file is there whole: blobs get their name only when they are verified. */
  async has(file: RemoteFile): Promise<boolean> {
    const found = await stat(this.blob(file)).catch(() => undefined)
    return found !== undefined && (file.sizeBytes === undefined || found.size === file.sizeBytes)
  }

  /** Gives the blob its name in the snapshot. */
  async link(revision: string, file: RemoteFile): Promise<void> {
    const path = join(this.snapshot(revision), ...file.path.split('/'))
    await mkdir(dirname(path), { recursive: true })
    const beside = `${path}.${process.pid}.facet-link`
    await rm(beside, { force: true })
    try {
      await symlink(relative(dirname(path), this.blob(file)), beside)
    } catch (error) {
      // Windows lets only some users make links.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
      await copyFile(this.blob(file), beside)
    }
    await rename(beside, path)
  }

  /** Says which revision a name like `main` means now. */
  async setRef(ref: string, revision: string): Promise<void> {
    const path = join(this.root, this.#folder, 'refs', ...ref.split('/'))
    await mkdir(dirname(path), { recursive: true })
    const beside = `${path}.${process.pid}.facet-ref`
    await writeFile(beside, revision)
    await rename(beside, path)
  }
}
