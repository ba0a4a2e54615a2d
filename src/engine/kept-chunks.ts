/** What a chunk store keeps of models: their names and manifests, what of it is corrupt, what is unused. */
import type { ChunkStore } from './chunk-store.ts'
import { manifestFrom, servedEntries } from './model-file.ts'
import { type ModelFiles, toSha256 } from './model-files.ts'

/** Ends of the names of manifests: of models that are whole, and of those that are being fetched. */
export const WHOLE = '.json'
export const STARTED = '.part'

const OURS = /^[0-9a-f]{64}(?:\.json|\.part)?$/

/** A model is known by its address; one that moves is found again by its chunks. */
export function nameOf({ location }: Pick<ModelFiles, 'location'>): Promise<string> {
  return toSha256(new TextEncoder().encode(location))
}

/** Whether a model can be loaded without fetching its weights. */
export async function isKept(source: Pick<ModelFiles, 'location'>, store: ChunkStore): Promise<boolean> {
  return (await store.get((await nameOf(source)) + WHOLE)) !== undefined
}

/** Frees the space that a model takes and no other kept model shares. */
export async function forgetModel(source: Pick<ModelFiles, 'location'>, store: ChunkStore): Promise<void> {
  const name = await nameOf(source)
  await store.remove(name + WHOLE)
  await store.remove(name + STARTED)
  await dropUnused(store)
}

/** Reads every kept chunk of a model; returns how many were wrong, and are gone. */
export async function dropCorrupt(source: ModelFiles, name: string, store: ChunkStore): Promise<number> {
  const bytes = (await bytesOf(store, name + WHOLE)) ?? (await bytesOf(store, name + STARTED))
  if (!bytes) return 0
  let dropped = 0
  for (const { chunks } of servedEntries(manifestFrom(bytes, source), source)) {
    for (const sha256 of chunks) {
      const chunk = await bytesOf(store, sha256)
      if (!chunk || (await toSha256(chunk)) === sha256) continue
      await store.remove(sha256)
      dropped++
    }
  }
  return dropped
}

/** Removes chunks that no manifest names. */
export async function dropUnused(store: ChunkStore): Promise<void> {
  const names = await store.names()
  const used = new Set<string>()
  for (const name of names) {
    if (!name.endsWith(WHOLE) && !name.endsWith(STARTED)) continue
    const bytes = await bytesOf(store, name)
    if (!bytes || !isManifest(bytes)) continue
    used.add(name)
    for (const { chunks } of manifestFrom(bytes, { location: name }).files) {
      for (const sha256 of chunks) used.add(sha256)
    }
  }
  // Other names are the browser's own, for files that are being written.
  for (const name of names) if (OURS.test(name) && !used.has(name)) await store.remove(name)
}

export async function bytesOf(store: ChunkStore, name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const stream = (await store.get(name))?.open() as ReadableStream<Uint8Array<ArrayBuffer>> | undefined
  return stream && new Uint8Array(await new Response(stream).arrayBuffer())
}

export function isManifest(bytes: Uint8Array): boolean {
  try {
    manifestFrom(bytes, { location: '' })
    return true
  } catch {
    return false
  }
}
