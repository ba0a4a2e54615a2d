/** A model's files read from their server range by range, so that nothing of them lies on disk. */
import { cutShort, type FileSource, type SourceFile } from '../convert/file-source.ts'
import { FacetError } from '../errors.ts'
import type { Listing, RemoteFile, Site } from './listing.ts'
import { checkAnswer } from './transfer.ts'
import { passes, TRIES, type Web } from './web.ts'

/** One request brings at most this much; reading on within it costs no other. */
const WINDOW_BYTES = 64 * 1024 * 1024

/**
 * Bytes that are used in another order than they lie cannot be hashed as they come: every answer's
 * size and ETag are compared with the listing's and with the first one's instead.
 */
export function rangeSource(listing: Listing, web: Web, site: Site): FileSource {
  const files = new Map(listing.files.map((remote) => [remote.path, remote]))
  return {
    place: listing.label,
    async open(path) {
      const remote = files.get(path)
      if (!remote) return undefined
      if (remote.sizeBytes === undefined) {
        const problem = `${remote.path} has a size that its server does not tell, so it cannot be streamed; pull it without --stream.`
        throw new FacetError('unsupported', problem, { field: 'stream' })
      }
      return new RangeFile(remote, remote.sizeBytes, web, site)
    },
  }
}

class RangeFile implements SourceFile {
  readonly sizeBytes: number
  #remote: RemoteFile
  readonly #web: Web
  readonly #site: Site
  /** The answer being read, its next byte's position, and what came of it but was not asked for yet. */
  #body: AsyncGenerator<Uint8Array> | undefined
  #position = 0
  #rest: Uint8Array = new Uint8Array()

  constructor(remote: RemoteFile, sizeBytes: number, web: Web, site: Site) {
    this.#remote = remote
    this.sizeBytes = sizeBytes
    this.#web = web
    this.#site = site
  }

  async read(into: Uint8Array, position: number): Promise<void> {
    if (position + into.length > this.sizeBytes) throw cutShort(this.#remote.path)
    for (let at = 0, tries = 0; at < into.length; ) {
      try {
        const bytes = await this.#next(position + at)
        const part = bytes.subarray(0, into.length - at)
        into.set(part, at)
        at += part.length
        this.#rest = bytes.subarray(part.length)
        this.#position += part.length
        tries = 0
      } catch (error) {
        await this.#stop()
        if (!(error instanceof FacetError) || !passes(error) || ++tries >= TRIES) throw error
        await this.#web.pause(tries, error)
      }
    }
  }

  close(): Promise<void> {
    return this.#stop()
  }

  /** Some bytes from there on, at least one. */
  async #next(position: number): Promise<Uint8Array> {
    if (!this.#body || position !== this.#position) {
      await this.#stop()
      this.#body = await this.#request(position)
      this.#position = position
    }
    if (this.#rest.length > 0) return this.#rest
    const { done, value } = await this.#body.next()
    if (!done) return value
    // The window is used up: the next one follows.
    this.#body = undefined
    const broken = (position: number): boolean => position < this.#windowEnd
    if (broken(position)) {
      throw new FacetError('connection_failed', `${this.#remote.path} broke off; run this again.`)
    }
    return this.#next(position)
  }

  #windowEnd = 0

  async #request(position: number): Promise<AsyncGenerator<Uint8Array>> {
    const remote = this.#remote
    const last = Math.min(position + WINDOW_BYTES, this.sizeBytes) - 1
    const headers = { range: `bytes=${position}-${last}`, 'accept-encoding': 'identity' }
    const response = await this.#web.get(remote.url, this.#site, remote.path, { headers })
    if (response.status === 416 || (response.status === 200 && position > 0)) {
      await response.body?.cancel()
      const problem = `The server of ${remote.path} does not give parts of it; pull it without --stream.`
      throw new FacetError('unsupported', problem, { field: 'stream' })
    }
    checkAnswer(response, remote, position)
    const etag = response.headers.get('etag')
    if (remote.etag === undefined && etag !== null) this.#remote = { ...remote, etag }
    this.#windowEnd = last + 1
    return this.#web.body(response, remote.path)
  }

  async #stop(): Promise<void> {
    this.#rest = new Uint8Array()
    const body = this.#body
    this.#body = undefined
    await body?.return(undefined)
  }
}
