/** The stages of a side-by-side run, each of which is a run in a folder of its own. */
import type { Clock } from '../../client/deadline.ts'
import type { Backend } from '../../types.ts'
import type { RunProgress } from '../run.ts'
import type { ModelSettings } from '../summary.ts'

/** A model that takes part. */
export interface Player {
  readonly backend: Backend
  /** What is kept of it. */
  readonly settings: ModelSettings
}

export type Stage = 'answers of A' | 'answers of B' | 'judgements'

export interface StageOptions {
  /** Where the run is written; one that was broken off goes on. */
  readonly folder: string
  /** Requests at a time to each model. */
  readonly concurrency?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (stage: Stage, progress: RunProgress) => void
  readonly clock?: Clock
}

/** What all stages hand on to their runs. */
export function shared(
  { concurrency, signal, clock, onProgress }: StageOptions,
  stage: Stage,
): { readonly concurrency?: number; readonly signal?: AbortSignal; readonly clock?: Clock } {
  return {
    ...(concurrency !== undefined && { concurrency }),
    ...(signal && { signal }),
    ...(clock && { clock }),
    ...(onProgress && { onProgress: (progress: RunProgress) => onProgress(stage, progress) }),
  }
}

export function toMap<Item extends { readonly id: string }>(items: readonly Item[]): Map<string, Item> {
  return new Map(items.map((item) => [item.id, item]))
}
