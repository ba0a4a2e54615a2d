/** The WebGPU graph as engines have it: once it is open, its device may fail and answers go on. */
import type { Graph } from '../graph.ts'
import type { OpenedModel } from '../model-file.ts'
import { type Replacement, recovering } from '../recovery.ts'
import type { CacheBits } from './cached.ts'
import { createWebGpuGraph } from './graph.ts'
import type { TuningStore } from './tuning.ts'

export interface GpuOpenOptions {
  readonly slots: number
  readonly contextTokens?: number
  readonly cacheBits?: CacheBits | undefined
  readonly tunings?: TuningStore
  readonly onReplaced?: (replacement: Replacement) => void
}

/**
 * @param openFallback opens what computes when no device does, on the same model
 * @throws FacetError as createWebGpuGraph: while it is opened nothing is replaced
 */
export async function openGpuGraph(
  model: OpenedModel,
  { slots, contextTokens = model.config.contextTokens, cacheBits, tunings, onReplaced }: GpuOpenOptions,
  openFallback: (model: OpenedModel) => Promise<Graph>,
): Promise<Graph> {
  const open = (from: OpenedModel): Promise<Graph> =>
    createWebGpuGraph({
      model: from,
      sequences: slots,
      contextTokens,
      cacheBits,
      ...(tunings && { tunings }),
    })
  // The weights are read again then, and nobody waits to hear how far that is.
  const silent: OpenedModel = { ...model, reading: { verify: model.reading.verify } }
  return recovering(await open(model), {
    again: () => open(silent),
    fallback: () => openFallback(silent),
    ...(onReplaced && { onReplaced }),
  })
}
