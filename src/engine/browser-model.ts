/** Models in the browser: their addresses, and the storage they are kept in. */
import { FacetError } from '../errors.ts'
import { openChunkStore } from './chunk-store.ts'
import { forgetModel, isKept } from './kept-chunks.ts'
import { type KeptLoad, loadKept } from './kept-model.ts'
import type { LoadProgress } from './model-file.ts'
import { filesFromUrl } from './model-files.ts'

/** An address relative to the page or the worker, in full; relative ones mean something else in a worker. */
export function toAbsolute(base: string | URL): string {
  try {
    return new URL(base, globalThis.document?.baseURI ?? globalThis.location?.href).href
  } catch (cause) {
    throw new FacetError('invalid_request', `${base} is not an address; give the model directory's URL.`, {
      field: 'base',
      cause,
    })
  }
}

/** Asks the browser not to clear the storage when space runs low; only pages may ask. */
export async function claimStorage(onNotice?: (sentence: string) => void): Promise<void> {
  const storage = globalThis.navigator?.storage
  if (storage === undefined || (await storage.persisted()) || (await storage.persist?.())) return
  onNotice?.('The browser may delete the model from its storage when space runs low, and fetch it again.')
}

export interface BrowserModelOptions {
  /** Left out or true: fetch the model once, then load it from the browser's storage. */
  readonly keep?: boolean
  readonly onProgress?: (progress: LoadProgress) => void
}

/**
 * Has the model at an address loaded, from the browser's storage where it keeps anything, else from the network.
 *
 * @throws FacetError as loadKept, and what `load` throws
 */
export async function loadBrowserModel<Loaded>(
  address: string,
  { keep = true, onProgress }: BrowserModelOptions,
  load: KeptLoad<Loaded>,
): Promise<Loaded> {
  const store = keep ? await openChunkStore() : undefined
  if (!store) return load(filesFromUrl(address), (progress) => onProgress?.(progress))
  // The browser's HTTP cache would hold the model a second time, and could hold it wrong.
  const fetchAnew: typeof fetch = (input, init) => fetch(input, { ...init, cache: 'no-store' })
  return loadKept(filesFromUrl(address, fetchAnew), { store, ...(onProgress && { onProgress }) }, load)
}

/** Removes the model at an address from the browser's storage. */
export async function forgetBrowserModel(base: string | URL): Promise<void> {
  const store = await openChunkStore()
  if (store) await forgetModel({ location: toAbsolute(base) }, store)
}

/** Whether the model at an address can be loaded without fetching its weights. */
export async function isBrowserModelKept(base: string | URL): Promise<boolean> {
  const store = await openChunkStore()
  return store !== undefined && isKept({ location: toAbsolute(base) }, store)
}
