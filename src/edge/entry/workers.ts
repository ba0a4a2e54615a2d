/**
 * `gemfacet/edge/workers`: the whole of Facet in one Cloudflare Worker. Memory: 128 MB, JavaScript and
 * WebAssembly together; a model that needs more is refused before it is fetched. One thread computes, with
 * kernels compiled before, and lets other requests in between layers.
 */
import { waitUntil } from 'cloudflare:workers'
import type { Hono } from 'hono'
import { loadKernelEngine } from '../../engine/kernel-engine.ts'
import type { LoadOptions } from '../../engine/load.ts'
import type { ModelFiles } from '../../engine/model-files.ts'
import kernels from '../../engine/wasm/kernels-relaxed.wasm'
import { createEdge, type EdgeOptions } from '../app.ts'
import { toErrorResponse } from '../error-response.ts'

export {
  type AssetsBinding,
  type BucketBinding,
  filesFromAssets,
  filesFromBucket,
  filesFromBytes,
} from './workers-files.ts'

/** What Workers have beside code, and what Facet leaves for requests of theirs. */
const MEMORY_BYTES = 128e6

/** How many answers at a time, unless told otherwise: each has a KV cache of its own. */
const SLOTS = 2

export interface WorkerOptions<Env> {
  /** Where the model directory is: `filesFromAssets`, `filesFromBucket`, `filesFromBytes`, or another. */
  readonly files: (env: Env) => ModelFiles
  /** As of loadEngine. `slots` is 2 and `memoryBytes` 128 MB unless given. */
  readonly engine?: Pick<
    LoadOptions,
    'contextTokens' | 'slots' | 'queue' | 'cacheBits' | 'id' | 'verify' | 'memoryBytes'
  >
  /** As of createEdge; `backends` come after the model, which answers requests that name none. */
  readonly edge?: (env: Env) => Partial<EdgeOptions>
}

export interface FacetWorker<Env> {
  fetch(request: Request, env: Env): Promise<Response>
}

/** `export default createWorker({ files: ({ ASSETS }) => filesFromAssets(ASSETS, '/models/...') })` */
export function createWorker<Env>({ files, engine, edge }: WorkerOptions<Env>): FacetWorker<Env> {
  let opened: Promise<Hono> | undefined

  const open = async (env: Env): Promise<Hono> => {
    const model = await loadKernelEngine({
      slots: SLOTS,
      memoryBytes: MEMORY_BYTES,
      ...engine,
      files: files(env),
      kernels,
      waitUntil,
    })
    const options = edge?.(env) ?? {}
    return createEdge({ ...options, backends: [model, ...(options.backends ?? [])] })
  }

  return {
    async fetch(request, env) {
      // Nothing may be read before the first request comes, and what it began must outlive it.
      opened ??= open(env)
      const opening = opened
      waitUntil(opening.catch(() => {})) // told below
      try {
        return await (await opening).fetch(request, env)
      } catch (error) {
        if (opened === opening) opened = undefined
        return toErrorResponse(error, edge?.(env).report ?? console.error)
      }
    },
  }
}
