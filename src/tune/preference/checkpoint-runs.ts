/** Side-by-side runs of a policy's checkpoints against the model it started from, as the check reads them. */
import { FacetError } from '../../errors.ts'
import { outcomeOf } from '../../eval/sxs/pair.ts'
import { readPairs } from '../../eval/sxs/read-pairs.ts'
import type { RatedCheckpoint } from './hacking.ts'

/** Where a checkpoint's run lies. */
export interface CheckpointRun {
  readonly step: number
  /** Folder of facet eval sxs: the checkpoint is A, the start is B. */
  readonly folder: string
}

/** @throws FacetError invalid_request: no side-by-side runs, of the same step twice, or with other starts; io_failed */
export async function readCheckpointRuns(runs: readonly CheckpointRun[]): Promise<RatedCheckpoint[]> {
  const starts = new Map<string, string>()
  const rated = new Map<number, RatedCheckpoint>()
  for (const { step, folder } of runs) {
    if (rated.has(step)) throw refused(`Step ${step} is named twice; give each step one run.`)
    const { settings, pairs } = await readPairs(folder)
    const { id = '', backend = '' } = settings.models.b ?? {}
    starts.set(JSON.stringify([id, backend]), `${id} at ${backend} (${folder})`)
    if (starts.size > 1) {
      const [one, other] = [...starts.values()]
      throw refused(
        `The runs compare with different models, ${one} and ${other}; B must be the start in all.`,
      )
    }
    const winners = pairs.flatMap((pair) => {
      const winner = outcomeOf(pair)
      return winner ? [[pair.id, winner] as const] : []
    })
    rated.set(step, { step, winners: new Map(winners) })
  }
  return [...rated.values()]
}

function refused(message: string): FacetError {
  return new FacetError('invalid_request', message, { field: 'run' })
}
