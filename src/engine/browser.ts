/** `gemfacet/engine/browser`: the engine in a Web Worker, so that the page stays free. */
import { FacetError } from '../errors.ts'
import type { Engine } from './backend.ts'
import type { LoadOptions } from './engine.ts'
import { loadRemotely, type StartedWorker, type WorkerStart } from './remote.ts'

export type { Engine } from './backend.ts'
export type { GraphKind, LoadOptions } from './engine.ts'
export type { LoadProgress } from './model-file.ts'

/**
 * Loads the model directory at an address into a Web Worker; `close()` ends the worker. On a page that is
 * cross-origin isolated (COOP `same-origin`, COEP `require-corp` or `credentialless`) several threads
 * compute, elsewhere one. With COEP, the worker's scripts must be served with that header too.
 *
 * @param base address of the directory, relative to the page's
 * @throws FacetError invalid_model, checksum_mismatch, tokenizer_missing, connection_failed, bad_response,
 * out_of_memory, unsupported (no Worker or no WebAssembly SIMD here), invalid_request (an option is out of
 * range, or the address is none)
 */
export async function loadEngine(base: string | URL, options: LoadOptions = {}): Promise<Engine> {
  return loadRemotely(startWorker, absolute(base), options)
}

function startWorker(start: WorkerStart, lost: (error: FacetError) => void): StartedWorker {
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

/** The worker's own address is another than the page's: relative ones are resolved here. */
function absolute(base: string | URL): string {
  try {
    return new URL(base, globalThis.document?.baseURI ?? globalThis.location?.href).href
  } catch (cause) {
    throw new FacetError('invalid_request', `${base} is not an address; give the model directory's URL.`, {
      field: 'base',
      cause,
    })
  }
}
