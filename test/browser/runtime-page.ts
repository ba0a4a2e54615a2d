/** What runtimes.test.ts and storage.test.ts call inside a page. */
import { createEdge } from '../../src/edge/app.ts'
import type { Engine } from '../../src/engine/backend.ts'
import { type BrowserLoadOptions, forgetModel, loadEngine } from '../../src/engine/browser.ts'
import { loadBrowserModel, toAbsolute } from '../../src/engine/browser-model.ts'
import { openChunkStore } from '../../src/engine/chunk-store.ts'
import { loadEngine as loadEngineHere } from '../../src/engine/engine.ts'
import { type Ask, ask, type Told } from '../runtime/ask.ts'
import { ENGINE } from '../runtime/engine-options.ts'

/** Errors as plain data, for the test to compare. */
export interface Failure {
  readonly code: string
  readonly message: string
}

export interface Loaded {
  /** Shares of the whole that were told, of each stage. */
  readonly download: readonly number[]
  readonly memory: readonly number[]
  readonly notices: readonly string[]
}

let engine: Engine | undefined

async function tellLoad(
  load: (told: Pick<BrowserLoadOptions, 'onProgress' | 'onNotice'>) => Promise<Engine>,
): Promise<Loaded> {
  const download: number[] = []
  const memory: number[] = []
  const notices: string[] = []
  await engine?.close()
  engine = await load({
    onProgress: ({ stage, loadedBytes, totalBytes }) =>
      (stage === 'download' ? download : memory).push(loadedBytes / totalBytes),
    onNotice: (sentence) => notices.push(sentence),
  })
  return { download, memory, notices }
}

const api = {
  load: (base: string, options: BrowserLoadOptions = {}): Promise<Loaded> =>
    tellLoad((told) => loadEngine(base, { ...ENGINE, threads: 2, ...options, ...told })),

  loadHere: (base: string): Promise<Loaded> =>
    tellLoad((told) =>
      loadBrowserModel(toAbsolute(base), told, (files, onProgress) =>
        loadEngineHere({ ...ENGINE, files, onProgress }),
      ),
    ),

  failureToLoad: (base: string, options: BrowserLoadOptions = {}): Promise<Failure | undefined> =>
    api.load(base, options).then(
      () => undefined,
      ({ code, message }) => ({ code, message }),
    ),

  /** Of an engine in this page, through a handler in this page. */
  ask: (asked: Ask): Promise<Told> => {
    const app = createEdge({ backends: [engine!] })
    return ask((url, init) => app.fetch(new Request(url, init)), location.origin, asked)
  },

  /** Of whatever answers below this page's address. */
  askSite: (asked: Ask): Promise<Told> => ask((url, init) => fetch(url, init), location.origin, asked),

  forget: (base: string): Promise<void> => forgetModel(base),

  /** Names of what is kept, with sizes. */
  async kept(): Promise<Record<string, number>> {
    const store = (await openChunkStore())!
    const sizes: Record<string, number> = {}
    for (const name of await store.names()) sizes[name] = (await store.get(name))!.sizeBytes
    return sizes
  },

  /** Overwrites what is kept under a name with zeros, and its last bytes left out. */
  async poison(name: string, missingBytes = 0): Promise<void> {
    const store = (await openChunkStore())!
    const { sizeBytes } = (await store.get(name))!
    await store.put(name, new Uint8Array(sizeBytes - missingBytes))
  },

  storeKind: async (): Promise<string | undefined> => (await openChunkStore())?.kind,

  async startServiceWorker(script: string): Promise<void> {
    await navigator.serviceWorker.register(script, { type: 'module', scope: '/' })
    const { serviceWorker } = navigator
    if (!serviceWorker.controller) {
      await new Promise((resolve) =>
        serviceWorker.addEventListener('controllerchange', resolve, { once: true }),
      )
    }
  },
}

export type RuntimePage = typeof api
Object.assign(globalThis, { testPage: api })
