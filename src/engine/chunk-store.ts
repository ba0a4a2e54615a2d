/** Where a browser keeps pieces of models by name: OPFS, or Cache storage where OPFS cannot be written to. */
import { FacetError } from '../errors.ts'

/** What is kept under a name. */
export interface KeptBytes {
  readonly sizeBytes: number
  open(): ReadableStream<Uint8Array>
}

export interface ChunkStore {
  readonly kind: 'opfs' | 'cache'
  /** Whether the browser would give so much more space. Some say that there is when there is not. */
  hasRoom(sizeBytes: number): Promise<boolean>
  get(name: string): Promise<KeptBytes | undefined>
  /**
   * All or nothing, even when the browser is killed in the middle.
   *
   * @throws FacetError io_failed when the browser gives no space
   */
  put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>
  remove(name: string): Promise<void>
  names(): Promise<string[]>
}

/** The folder of OPFS, and the name of the cache. */
const PLACE = 'facet-models'
/** A file that is never written to. */
const TRIAL = 'trial'

/** Undefined where a browser keeps nothing: on insecure pages, and where the user forbids it. */
export async function openChunkStore(): Promise<ChunkStore | undefined> {
  return (await openOpfs()) ?? (await openCache())
}

async function openOpfs(): Promise<ChunkStore | undefined> {
  // Older Safari writes to OPFS only by other means, and only in workers.
  if (typeof FileSystemFileHandle === 'undefined' || !('createWritable' in FileSystemFileHandle.prototype))
    return undefined
  let folder: FileSystemDirectoryHandle
  try {
    const root = await navigator.storage.getDirectory()
    folder = await root.getDirectoryHandle(PLACE, { create: true })
  } catch {
    return undefined // private windows of some browsers refuse
  }
  return {
    kind: 'opfs',
    hasRoom: async (sizeBytes) => {
      // The estimate is rounded up, against fingerprinting; an empty file of that size tells, at no cost.
      const writable = await (await folder.getFileHandle(TRIAL, { create: true })).createWritable()
      try {
        await writable.truncate(sizeBytes)
        return true
      } catch (error) {
        if (isFull(error)) return false
        throw error
      } finally {
        await writable.abort().catch(() => {}) // failed already
        await orUndefined(folder.removeEntry(TRIAL))
      }
    },
    get: async (name) => {
      const handle = await orUndefined(folder.getFileHandle(name))
      const file = await handle?.getFile()
      return file && { sizeBytes: file.size, open: () => file.stream() }
    },
    put: (name, bytes) =>
      storing(async () => {
        // Writes to a file of its own, which takes the name when it is closed.
        const writable = await (await folder.getFileHandle(name, { create: true })).createWritable()
        try {
          await writable.write(bytes)
          await writable.close()
        } catch (cause) {
          await writable.abort().catch(() => {}) // failed already, and has said why
          await orUndefined(folder.removeEntry(name))
          throw cause
        }
      }),
    remove: async (name) => {
      await orUndefined(folder.removeEntry(name))
    },
    names: async () => {
      const names: string[] = []
      for await (const name of folder.keys()) names.push(name)
      return names
    },
  }
}

async function openCache(): Promise<ChunkStore | undefined> {
  let cache: Cache
  try {
    cache = await caches.open(PLACE)
  } catch {
    return undefined // there are no caches on insecure pages
  }
  const root = 'https://facet.invalid/'
  return {
    kind: 'cache',
    hasRoom: async () => true,
    get: async (name) => {
      const response = await cache.match(root + name)
      const sizeBytes = Number(response?.headers.get('content-length'))
      return response?.body ? { sizeBytes, open: () => response.body! } : undefined
    },
    put: (name, bytes) =>
      storing(() => {
        const headers = { 'content-length': String(bytes.length) }
        return cache.put(root + name, new Response(bytes, { headers }))
      }),
    remove: async (name) => {
      await cache.delete(root + name)
    },
    names: async () => (await cache.keys()).map(({ url }) => url.slice(root.length)),
  }
}

async function storing(put: () => Promise<void>): Promise<void> {
  try {
    await put()
  } catch (cause) {
    const why = isFull(cause) ? 'it gives no more space' : String(cause)
    throw new FacetError(
      'io_failed',
      `The browser would not store the model: ${why}; free some space, or load it with keep: false.`,
      { cause },
    )
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError'
}

/** For what may not be there. */
async function orUndefined<Value>(found: Promise<Value>): Promise<Value | undefined> {
  try {
    return await found
  } catch (error) {
    if (error instanceof Error && error.name === 'NotFoundError') return undefined
    throw error
  }
}
