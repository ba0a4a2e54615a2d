/** The engine in this page: the model's files fetched from the server, and computed with here. */
import type { Engine } from '../../engine/browser.ts'
import { FacetError } from '../../index.ts'
import { base, modelFiles } from './server.ts'

export type LocalGraph = 'wasm' | 'webgpu'

/** What the server offers to load. */
export interface Offer {
  readonly id: string
  readonly sizeBytes: number
}

/** Undefined where the server offers no files. */
export async function offered(): Promise<Offer | undefined> {
  try {
    const { model } = await jsonAt(new URL('page/config.json', base))
    if (typeof model !== 'string') return undefined
    const { id, files } = await jsonAt(new URL('facet.json', modelFiles))
    if (typeof id !== 'string' || !Array.isArray(files)) return undefined
    const sizeBytes = files.reduce((sum: number, file: { sizeBytes: number }) => sum + file.sizeBytes, 0)
    return { id, sizeBytes }
  } catch {
    return undefined // the server's state says why, should it be gone
  }
}

async function jsonAt(url: URL): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(url)
  if (!response.ok) throw new FacetError('bad_response', `${url.pathname} answered ${response.status}.`)
  return response.json()
}

/** Why a graph cannot run in this browser, as far as it can be told without trying; undefined: it may. */
export function obstacleOf(graph: LocalGraph): string | undefined {
  if (!isSecureContext) {
    return 'Browsers let only pages opened over https or from localhost check and keep a model.'
  }
  return graph === 'wasm' || 'gpu' in navigator ? undefined : 'This browser has no WebGPU.'
}

/** The engine's own words are for a command line. */
const NO_ADAPTER =
  'This browser gives the page no graphics adapter; choose WebAssembly, or turn on hardware acceleration in the settings of the browser.'

export interface LoadEvents {
  /** @param share of the bytes that are to be read, 0 to 1 */
  readonly onProgress: (share: number) => void
  /** What must be done without here, in a sentence. */
  readonly onNotice: (sentence: string) => void
}

/** @throws FacetError as loadEngine of gemfacet/engine/browser */
export async function loadLocal(graph: LocalGraph, { onProgress, onNotice }: LoadEvents): Promise<Engine> {
  const { loadEngine } = await engineScript()
  try {
    return await loadEngine(modelFiles, {
      graph,
      slots: 1,
      onNotice,
      onProgress: ({ loadedBytes, totalBytes }) => onProgress(loadedBytes / totalBytes),
    })
  } catch (error) {
    throw graph === 'webgpu' && error instanceof FacetError && error.field === 'graph'
      ? new FacetError('unsupported', NO_ADAPTER, { cause: error })
      : error
  }
}

/** Whether the model need not be fetched any more. */
export async function isKept(): Promise<boolean> {
  return (await engineScript()).isModelKept(modelFiles)
}

/** Removes the model from the browser's storage. */
export async function forget(): Promise<void> {
  await (await engineScript()).forgetModel(modelFiles)
}

/** Only when it is needed: most readers never do. */
async function engineScript(): Promise<typeof import('../../engine/browser.ts')> {
  try {
    return await import('../../engine/browser.ts')
  } catch (cause) {
    throw new FacetError('connection_failed', "The engine's script could not be fetched; try again.", {
      cause,
    })
  }
}
