/** A run's folder in Cloud Storage: what is uploaded for it, and what it has written so far. */
import { openAsBlob } from 'node:fs'
import type { Rest } from '../../../deploy/google/rest.ts'
import { toBucketFolder } from '../../../deploy/k8s/serving.ts'
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import { readWritten, type Written } from './written.ts'

export class RunFolder {
  readonly #rest: Rest
  readonly #root: string

  /** @param root `gs://bucket/folder` */
  constructor(rest: Rest, root: string) {
    this.#rest = rest
    this.#root = root
  }

  /** Undefined where there is no such file. */
  async text(path: string, signal: AbortSignal): Promise<string | undefined> {
    const found = await this.#rest.find(`read ${this.#root}/${path}`, 'storage', this.#pathOf(path), signal, {
      alt: 'media',
    })
    return typeof found?.text === 'string' ? found.text : undefined
  }

  /** Files below a folder of it, with their paths from there. */
  async list(folder: string, signal: AbortSignal): Promise<string[]> {
    const prefix = this.#objectOf(`${folder}/`)
    const names: string[] = []
    let page: string | undefined
    do {
      const query = { prefix, ...(page !== undefined && { pageToken: page }) }
      const answer = await this.#rest.find(
        `list ${this.#root}/${folder}`,
        'storage',
        this.#bucketPath,
        signal,
        query,
      )
      const items = Array.isArray(answer?.items) ? answer.items : []
      names.push(...items.flatMap((item) => (isObject(item) ? String(item.name) : [])))
      page = typeof answer?.nextPageToken === 'string' ? answer.nextPageToken : undefined
    } while (page !== undefined)
    return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  }

  /** See readWritten. */
  written(signal: AbortSignal, launch?: string): Promise<Written> {
    const out = {
      text: (path: string) => this.text(`out/${path}`, signal),
      list: (folder: string) => this.list(`out/${folder}`, signal),
    }
    return readWritten(out, launch)
  }

  /** @returns false where a file of the same size is there: the run's name holds a hash of what it is made of. */
  async upload(path: string, file: string, signal: AbortSignal): Promise<boolean> {
    const blob = await openAsBlob(file).catch((cause: unknown) => {
      throw new FacetError('io_failed', `${file} cannot be read; check the path.`, { field: 'data', cause })
    })
    const there = await this.#rest.find(`look for ${path}`, 'storage', this.#pathOf(path), signal)
    if (there && Number(there.size) === blob.size) return false
    const { bucket } = toBucketFolder(this.#root)
    await this.#rest.call(`upload ${path}`, 'storage', `/upload/storage/v1/b/${bucket}/o`, signal, {
      method: 'POST',
      query: { uploadType: 'media', name: this.#objectOf(path) },
      bytes: { type: 'application/jsonl', body: blob },
    })
    return true
  }

  /** Replaces what is there. */
  async write(path: string, text: string, signal: AbortSignal): Promise<void> {
    const { bucket } = toBucketFolder(this.#root)
    await this.#rest.call(`upload ${path}`, 'storage', `/upload/storage/v1/b/${bucket}/o`, signal, {
      method: 'POST',
      query: { uploadType: 'media', name: this.#objectOf(path) },
      bytes: { type: 'text/plain; charset=utf-8', body: new TextEncoder().encode(text) },
    })
  }

  get #bucketPath(): string {
    return `/storage/v1/b/${toBucketFolder(this.#root).bucket}/o`
  }

  #objectOf(path: string): string {
    const { folder } = toBucketFolder(this.#root)
    return folder === '' ? path : `${folder}/${path}`
  }

  #pathOf(path: string): string {
    return `${this.#bucketPath}/${encodeURIComponent(this.#objectOf(path))}`
  }
}
