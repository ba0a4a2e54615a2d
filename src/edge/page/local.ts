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

/** @throws FacetError as loadEngine of gemfacet/engine/browser */
export async function loadLocal(graph: LocalGraph, onProgress: (share: number) => void): Promise<Engine> {
  // Only now: most readers never need it.
  const { loadEngine } = await import('../../engine/browser.ts').catch((cause: unknown) => {
    throw new FacetError('connection_failed', "The engine's script could not be fetched; try again.", {
      cause,
    })
  })
  return loadEngine(modelFiles, {
    graph,
    slots: 1,
    onProgress: ({ loadedBytes, totalBytes }) => onProgress(loadedBytes / totalBytes),
  })
}

/** Threads need what browsers give only to pages that are isolated from other origins. */
export function threadsNote(): string {
  return crossOriginIsolated
    ? ''
    : ' This page is not cross-origin isolated, so it computes with a single thread.'
}
