/** What the scripts of a run have written into its folder `out` so far, wherever that lies. */
import type { JobLine } from './job.ts'
import { parseMetrics } from './metrics.ts'

export interface Written {
  readonly steps: readonly JobLine[]
  /** done.json is there, which is written last. */
  readonly done: boolean
  readonly attempts: { readonly started: number; readonly crashed: number }
}

/** Paths are from `out` on. */
export interface OutFolder {
  /** Undefined where there is no such file. */
  readonly text: (path: string) => Promise<string | undefined>
  /** Files below a folder; none where there is no such folder. */
  readonly list: (folder: string) => Promise<readonly string[]>
}

/** What facet_attempt.py calls a launch that it is told no name of. */
export const ONLY_LAUNCH = '1'

/** @param launch whose attempts count; left out, those of all */
export async function readWritten({ text, list }: OutFolder, launch?: string): Promise<Written> {
  // What is written last is read first: a job that ends meanwhile is not done at a step before its last.
  const done = (await text('done.json')) !== undefined
  const [metrics = '', names] = await Promise.all([
    text('metrics.jsonl'),
    list(launch === undefined ? 'attempts' : `attempts/${launch}`),
  ])
  const count = (pattern: RegExp): number => names.filter((name) => pattern.test(name)).length
  return {
    steps: parseMetrics(metrics),
    done,
    attempts: { started: count(/(^|\/)\d+\.json$/), crashed: count(/\.crash\.json$/) },
  }
}
