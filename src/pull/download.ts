/** All files of a model on their way to the cache, several at once, readable while they grow. */
import { EventEmitter, once } from 'node:events'
import { open } from 'node:fs/promises'
import type { FileSource, SourceFile } from '../convert/file-source.ts'
import { FacetError } from '../errors.ts'
import type { ModelCache } from './cache.ts'
import type { Listing, RemoteFile, Site } from './listing.ts'
import { transfer } from './transfer.ts'
import type { Web } from './web.ts'

type OnProgress = (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void

interface Item {
  readonly remote: RemoteFile
  sizeBytes: number
  done: boolean
}

export class Download {
  /** True once bytes that were handed out may have been wrong. */
  restarted = false
  readonly #listing: Listing
  readonly #cache: ModelCache
  readonly #items: ReadonlyMap<string, Item>
  /** `change` when a file has more bytes, is whole, or everything failed. */
  readonly #events = new EventEmitter().setMaxListeners(0)
  readonly #stopped = new AbortController()
  /** By blob. */
  readonly #transfers = new Map<string, Promise<void>>()
  readonly #onProgress: OnProgress | undefined
  #failure: unknown

  constructor(listing: Listing, cache: ModelCache, onProgress?: OnProgress) {
    this.#listing = listing
    this.#cache = cache
    this.#onProgress = onProgress
    this.#items = new Map(listing.files.map((remote) => [remote.path, { remote, sizeBytes: 0, done: false }]))
  }

  /**
   * Downloads what the cache lacks: small files first, as the rest cannot be read without them.
   *
   * @param concurrency files at once
   * @throws FacetError as transfer does; no other file is begun then
   */
  async run(web: Web, site: Site, concurrency = 4): Promise<void> {
    const waiting = [...this.#items.values()].sort(
      (a, b) =>
        Number(isLarge(a.remote)) - Number(isLarge(b.remote)) || (a.remote.path < b.remote.path ? -1 : 1),
    )
    const worker = async (): Promise<void> => {
      for (let item = waiting.shift(); item && !this.#failure; item = waiting.shift()) {
        await this.#fetch(item, web, site)
      }
    }
    const failed = (error: unknown): void => {
      this.#failure ??= error
      this.#events.emit('change')
    }
    await Promise.all(Array.from({ length: concurrency }, () => worker().catch(failed)))
    if (this.#failure) throw this.#failure
  }

  /** Ends every transfer; what is there so far stays for another run. */
  stop(reason: unknown): void {
    this.#failure ??= reason
    this.#stopped.abort(reason)
    this.#events.emit('change')
  }

  /** The files, each readable as far as it is there; reading further waits. */
  source(verified: () => Promise<void>): FileSource {
    return {
      place: this.#listing.label,
      verified,
      open: async (path) => {
        const item = this.#items.get(path)
        return item && this.#open(item)
      },
    }
  }

  async #fetch(item: Item, web: Web, site: Site): Promise<void> {
    const { remote } = item
    // Files of the same bytes are one blob.
    const begun = this.#transfers.get(remote.blob) ?? this.#transfer(item, web, site)
    this.#transfers.set(remote.blob, begun)
    await begun
    item.done = true
    this.#grew(item, remote.sizeBytes ?? item.sizeBytes)
  }

  async #transfer(item: Item, web: Web, site: Site): Promise<void> {
    const { remote } = item
    if (await this.#cache.has(remote)) return
    await transfer(remote, this.#cache.partial(remote), this.#cache.blob(remote), web, site, {
      onSize: (sizeBytes) => this.#grew(item, sizeBytes),
      onRestart: () => {
        this.restarted = true
      },
      signal: this.#stopped.signal,
    })
  }

  #grew(item: Item, sizeBytes: number): void {
    item.sizeBytes = sizeBytes
    this.#events.emit('change')
    const items = [...this.#items.values()]
    const totalBytes = items.reduce((sum, { remote, sizeBytes: own }) => sum + (remote.sizeBytes ?? own), 0)
    this.#onProgress?.({ doneBytes: items.reduce((sum, one) => sum + one.sizeBytes, 0), totalBytes })
  }

  async #open(item: Item): Promise<SourceFile> {
    const { remote } = item
    // Where the size is not known before the end, the end is waited for.
    await this.#until(() => item.done || (item.sizeBytes > 0 && remote.sizeBytes !== undefined))
    const handle = await open(item.done ? this.#cache.blob(remote) : this.#cache.partial(remote), 'r').catch(
      // It was whole, and renamed, in between.
      () => open(this.#cache.blob(remote), 'r'),
    )
    const { size } = await handle.stat()
    return {
      sizeBytes: remote.sizeBytes ?? size,
      read: async (into, position) => {
        await this.#until(() => item.done || item.sizeBytes >= position + into.length)
        for (let at = 0; at < into.length; ) {
          const { bytesRead } = await handle.read(into, at, into.length - at, position + at)
          if (bytesRead === 0) {
            const problem = `${remote.path} has to be downloaded again; run this again.`
            throw new FacetError('bad_response', problem, { field: remote.path })
          }
          at += bytesRead
        }
      },
      close: () => handle.close(),
    }
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#failure) throw this.#failure
      await once(this.#events, 'change')
    }
  }
}

/** Weights, as against what describes them. */
export function isLarge({ path }: RemoteFile): boolean {
  return /\.(?:safetensors|gguf|h5|onnx_data)$/.test(path)
}
