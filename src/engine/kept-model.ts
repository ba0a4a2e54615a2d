/** A model fetched once into the browser's storage: resumed, verified chunk by chunk, its manifest written last. */
import { FacetError } from '../errors.ts'
import { CHUNK_BYTES, type FileEntry, MANIFEST_FILE } from '../gemma/manifest.ts'
import { formatBytes } from '../gemma/memory-plan.ts'
import type { ChunkStore, KeptBytes } from './chunk-store.ts'
import { bytesOf, dropCorrupt, dropUnused, isManifest, nameOf, STARTED, WHOLE } from './kept-chunks.ts'
import { type LoadProgress, manifestFrom, readManifestBytes, servedEntries } from './model-file.ts'
import { cutStream, type ModelFiles, readChunks } from './model-files.ts'

export interface KeepOptions {
  readonly store: ChunkStore
  /** Tells what space there is. Default: the browser's, where it has one to tell. */
  readonly space?: Pick<StorageManager, 'estimate'>
  readonly onProgress?: (progress: LoadProgress) => void
}

/** Loads a model; called a second time where what was kept had to be repaired. */
export type KeptLoad<Loaded> = (
  files: ModelFiles,
  onProgress: (progress: LoadProgress) => void,
) => Promise<Loaded>

/**
 * Has a model loaded through the store: what is there is read from there, what is not is fetched, verified,
 * stored, and then read. Chunks are named by their sha256, so that a fetch goes on where the one before
 * ended, however it ended, and models share what they have in common. What is kept is verified by the
 * loader, which hashes while it reads; a chunk that is wrong is fetched anew.
 *
 * @throws FacetError io_failed (the space is refused, with figures; the network broke off: asking again goes
 * on from there), invalid_model, checksum_mismatch (of what the source sends), connection_failed,
 * bad_response, and what `load` throws
 */
export async function loadKept<Loaded>(
  source: ModelFiles,
  options: KeepOptions,
  load: KeptLoad<Loaded>,
): Promise<Loaded> {
  const name = await nameOf(source)
  const run = async (): Promise<Loaded> => {
    const once = async (): Promise<Loaded> => {
      const model = await KeptModel.open(source, name, options)
      const loaded = await load(model, (progress) => {
        if (!model.fetched) options.onProgress?.(progress)
      })
      await model.finish()
      return loaded
    }
    try {
      return await once()
    } catch (error) {
      if (!(error instanceof FacetError) || error.code !== 'checksum_mismatch') throw error
      if ((await dropCorrupt(source, name, options.store)) === 0) throw error
      return once()
    }
  }
  // Tabs and workers that want the same model fetch it once.
  const locks = globalThis.navigator?.locks
  return locks ? locks.request(`facet-model-${name}`, run) : run()
}

interface MissingChunk {
  readonly entry: FileEntry
  readonly index: number
  readonly sizeBytes: number
}

/** The files of a model as the store has them, or will once they have been read. */
class KeptModel implements ModelFiles {
  readonly location: string
  /** Something had to be fetched. */
  fetched = false
  readonly #source: ModelFiles
  readonly #name: string
  readonly #options: KeepOptions
  /** The bytes of the manifest. */
  readonly #manifest: Uint8Array<ArrayBuffer>
  readonly #entries: readonly FileEntry[]

  private constructor(
    source: ModelFiles,
    name: string,
    options: KeepOptions,
    manifest: Uint8Array<ArrayBuffer>,
  ) {
    this.location = source.location
    this.#source = source
    this.#name = name
    this.#options = options
    this.#manifest = manifest
    this.#entries = servedEntries(manifestFrom(manifest, source), source)
  }

  static async open(source: ModelFiles, name: string, options: KeepOptions): Promise<KeptModel> {
    const { store } = options
    const manifest = await currentManifest(source, await bytesOf(store, name + WHOLE))
    const model = new KeptModel(source, name, options, manifest)
    const missing = await model.#missing()
    if (missing.length > 0) {
      await checkSpace(missing, source.location, options)
      await store.remove(name + WHOLE)
      await store.put(name + STARTED, manifest)
    }
    return model
  }

  async size(path: string): Promise<number | undefined> {
    return path === MANIFEST_FILE ? this.#manifest.length : this.#entry(path)?.sizeBytes
  }

  async open(...[path, range]: Parameters<ModelFiles['open']>): ReturnType<ModelFiles['open']> {
    if (path === MANIFEST_FILE) return new Blob([this.#manifest]).stream()
    const entry = this.#entry(path)
    if (!entry) return undefined
    const { start, end } = range ?? { start: 0, end: entry.sizeBytes }
    const first = Math.floor(start / CHUNK_BYTES)
    const stream = toStream(this.#pieces(entry, first, Math.ceil(end / CHUNK_BYTES)))
    if (!range) return stream
    const before = first * CHUNK_BYTES
    return stream.pipeThrough(cutStream({ start: start - before, end: end - before }))
  }

  /** Once everything is there: the manifest, last of all, and nothing that it does not name. */
  async finish(): Promise<void> {
    const { store } = this.#options
    if ((await this.#missing()).length > 0) return
    const kept = await bytesOf(store, this.#name + WHOLE)
    if (kept && isEqual(kept, this.#manifest)) return
    await store.put(this.#name + WHOLE, this.#manifest)
    await store.remove(this.#name + STARTED)
    await dropUnused(store)
  }

  #entry(path: string): FileEntry | undefined {
    return this.#entries.find((entry) => entry.path === path)
  }

  async #missing(): Promise<MissingChunk[]> {
    const missing: MissingChunk[] = []
    for (const entry of this.#entries) {
      for (const index of entry.chunks.keys()) {
        if (!(await this.#chunk(entry, index))) {
          missing.push({
            entry,
            index,
            sizeBytes: Math.min(CHUNK_BYTES, entry.sizeBytes - index * CHUNK_BYTES),
          })
        }
      }
    }
    return missing
  }

  /** A chunk as it is kept; one of a wrong size is none. */
  async #chunk(entry: FileEntry, index: number): Promise<KeptBytes | undefined> {
    const kept = await this.#options.store.get(entry.chunks[index]!)
    return kept?.sizeBytes === Math.min(CHUNK_BYTES, entry.sizeBytes - index * CHUNK_BYTES) ? kept : undefined
  }

  async *#pieces(entry: FileEntry, first: number, end: number): AsyncGenerator<Uint8Array, void> {
    let fetching: AsyncGenerator<void, void> | undefined
    try {
      for (let index = first; index < end; index++) {
        let kept = await this.#chunk(entry, index)
        if (!kept) {
          fetching ??= this.#fetch(entry, index, end)
          if ((await fetching.next()).done) {
            fetching = this.#fetch(entry, index, end)
            await fetching.next()
          }
          kept = await this.#chunk(entry, index)
        }
        if (!kept) throw new Error('the browser did not keep what was fetched')
        yield* kept.open()
      }
    } finally {
      await fetching?.return()
    }
  }

  /** Fetches the missing chunks from `first` on; yields after each that is stored. */
  async *#fetch(entry: FileEntry, first: number, end: number): AsyncGenerator<void, void> {
    const missing = await this.#missing()
    const { store, onProgress } = this.#options
    const totalBytes = this.#entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    let loadedBytes = totalBytes - missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    this.fetched = true
    let last = first
    while (last < end && missing.some((chunk) => chunk.entry === entry && chunk.index === last)) last++
    let stored = 0
    try {
      const reading = readChunks(this.#source, entry, {
        verify: true,
        chunks: { first, end: last },
        onBytes: (count) => {
          loadedBytes += count
          onProgress?.({ loadedBytes, totalBytes, stage: 'download' })
        },
      })
      for await (const { start, bytes, verified } of reading) {
        await verified
        await store.put(entry.chunks[start / CHUNK_BYTES]!, bytes)
        stored++
        yield
      }
    } catch (error) {
      // The network may break off: as long as each try brings something, the next goes on from there.
      const brokeOff = error instanceof FacetError && error.code === 'io_failed' && error.field === entry.path
      if (!brokeOff || stored === 0) throw error
    }
  }
}

/** As the source has it now; what is kept where the source cannot be reached. */
async function currentManifest(
  source: ModelFiles,
  kept: Uint8Array<ArrayBuffer> | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readManifestBytes(source)
  } catch (error) {
    const away = error instanceof FacetError && AWAY.has(error.code)
    if (away && kept && isManifest(kept)) return kept
    throw error
  }
}

const AWAY: ReadonlySet<string> = new Set(['connection_failed', 'bad_response'])

async function checkSpace(
  missing: readonly MissingChunk[],
  location: string,
  { store, space = globalThis.navigator?.storage }: KeepOptions,
): Promise<void> {
  const { quota = Number.POSITIVE_INFINITY, usage = 0 } = (await space?.estimate()) ?? {}
  const needed = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const free = Math.max(quota - usage, 0)
  if (needed <= free && (await store.hasRoom(needed))) return
  const what = needed <= free ? 'which it refuses' : `but only ${formatBytes(free)} are free`
  throw new FacetError(
    'io_failed',
    `${location} needs ${formatBytes(needed)} of the browser's storage, ${what}; free some, or load it with keep: false.`,
  )
}

function toStream(source: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await source.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: async () => {
      await source.return()
    },
  })
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
