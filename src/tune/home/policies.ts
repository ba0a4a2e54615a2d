/** The policies of a run of kind rlhf: the adapters of its checkpoints, each a result of its own. */
import { join } from 'node:path'
import { type BringOptions, bringHome } from './bring.ts'
import { DONE_FILE, type Done } from './done.ts'
import { openPlace, type PlaceOptions } from './result-place.ts'

export interface Policy {
  /** 0: the adapter that the run started from. */
  readonly step: number
  /** Where its files are here. */
  readonly directory: string
  readonly done: Done
}

/** Below what the job wrote to, and below `dir`: `policies/step-N`, where done.json and `result/` are. */
const POLICIES_FOLDER = 'policies'

/** Where a checkpoint's policy lies: a place that `facet tune fetch --from` takes too. */
export function policyPlace(out: string, step: number): string {
  return `${out.replace(/\/+$/, '')}/${POLICIES_FOLDER}/step-${step}`
}

/**
 * Which policies are whole, in the order of their steps: of a run that goes on, those until now.
 *
 * @param out what the job writes to: `gs://bucket/folder`, or a folder
 * @throws FacetError io_failed, and as asking the bucket does
 */
export async function listPolicies(out: string, options: PlaceOptions): Promise<number[]> {
  const paths = await openPlace(out, options).list(POLICIES_FOLDER)
  return paths
    .flatMap((path) => {
      const [, step, file] = /^step-(\d{1,9})\/(.+)$/.exec(path) ?? []
      return file === DONE_FILE ? [Number(step)] : []
    })
    .sort((one, other) => one - other)
}

/** Brings these as `bringHome` does, below `dir`. @throws FacetError as it does */
export async function bringPolicies(
  out: string,
  steps: readonly number[],
  dir: string,
  { onProgress, ...options }: PlaceOptions & BringOptions,
): Promise<Policy[]> {
  const policies: Policy[] = []
  for (const [index, step] of steps.entries()) {
    const directory = join(dir, POLICIES_FOLDER, `step-${step}`)
    const done = await bringHome(openPlace(policyPlace(out, step), options), directory, {
      // They are of one size.
      onProgress: ({ doneBytes, totalBytes }) =>
        onProgress?.({
          doneBytes: index * totalBytes + doneBytes,
          totalBytes: steps.length * totalBytes,
        }),
    })
    policies.push({ step, directory, done })
  }
  return policies
}
