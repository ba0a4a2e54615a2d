/** `gemfacet/engine/browser`: the engine in a Web Worker, so that the page stays free. */
import { FacetError } from '../errors.ts'
import type { Engine } from './backend.ts'
import { claimStorage, toAbsolute } from './browser-model.ts'
import type { LoadOptions } from './engine.ts'
import { loadRemotely, type StartedWorker, type WorkerStart } from './remote.ts'

export type { Engine } from './backend.ts'
export { forgetBrowserModel as forgetModel, isBrowserModelKept as isModelKept } from './browser-model.ts'
export type { GraphKind, LoadOptions } from './engine.ts'
export type { LoadProgress } from './model-file.ts'

export interface BrowserLoadOptions extends LoadOptions {
  /**
   * Keep the model in the browser's storage, OPFS or else Cache storage, and load it from there from then on.
   * Default true.
   */
  readonly keep?: boolean
  /** Told in a sentence each what the engine must do without here: threads, storage. */
  readonly onNotice?: (sentence: string) => void
}

/** What the worker is started with. */
export interface BrowserWorkerStart extends WorkerStart {
  readonly keep: boolean
}

/**
 * Loads the model directory at an address into a Web Worker; `close()` ends the worker. On a page that is
 * cross-origin isolated (COOP `same-origin`, COEP `require-corp` or `credentialless`) several threads
 * compute, elsewhere one. With COEP, the worker's scripts must be served with that header too.
 *
 * @param base address of the directory, relative to the page's
 * @throws FacetError invalid_model, checksum_mismatch, tokenizer_missing, connection_failed, bad_response,
 * out_of_memory, unsupported (no Worker or no WebAssembly SIMD here), invalid_request (an option is out of
 * range, or the address is none), io_failed (the browser gives no space for the model)
 */
export async function loadEngine(base: string | URL, options: BrowserLoadOptions = {}): Promise<Engine> {
  const { keep = true, onNotice, ...rest } = options
  const address = toAbsolute(base)
  if (!globalThis.crossOriginIsolated && (rest.graph ?? 'wasm') === 'wasm') onNotice?.(ALONE)
  if (keep) await claimStorage(onNotice)
  return loadRemotely((start, lost) => startWorker({ ...start, keep }, lost), address, rest)
}

const ALONE =
  'This page is not cross-origin isolated, so that one thread computes; serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp for several.'

function startWorker(start: BrowserWorkerStart, lost: (error: FacetError) => void): StartedWorker {
  if (typeof Worker !== 'function') {
    throw new FacetError(
      'unsupported',
      'There is no Worker here, as in a service worker; use loadEngine of gemfacet/engine, which computes on this thread.',
    )
  }
  // Bundlers look for exactly this expression.
  const worker = new Worker(new URL('./browser-worker.ts', import.meta.url), {
    type: 'module',
    name: 'facet-engine',
  })
  worker.addEventListener('error', (event) => {
    event.preventDefault()
    worker.terminate() // it would live on, and nobody knows in what state
    lost(
      new FacetError(
        'internal',
        // A script that could not be loaded has no message.
        event.message
          ? `The worker that computes failed: ${event.message}`
          : "The worker's script could not be loaded; serve it from the page's origin, with the page's COEP header.",
      ),
    )
  })
  worker.postMessage(start, [start.port])
  return { end: async () => worker.terminate() }
}
