/** Watches a job until it has ended, however often its machines are taken away meanwhile. */
import { Changes, type Context, call, systemClock, until } from '../../../deploy/waiting.ts'
import { FacetError } from '../../errors.ts'
import type { JobFinding } from './cause.ts'
import type { JobPlan, Observation, Runner } from './job.ts'

export interface WatchOptions extends Context {
  /** Each time it was looked at. */
  readonly onLook?: (observation: Observation) => void
  /** How long a cause that hardly mends itself may last before watching ends. Default 5 minutes. */
  readonly patienceMs?: number
}

const PATIENCE_MS = 5 * 60_000
/** Nothing is trained for longer, and a terminal is not watched for longer. */
const WATCH_MS = 30 * 24 * 60 * 60_000
/** Steps are read from the bucket, which tells nobody of changes. */
const POLL_MS = 10_000

/**
 * The job goes on when watching ends, and watching can be taken up again.
 *
 * @returns the observation with which it ended
 * @throws FacetError unavailable, with the cause for which it does not start; not_found; aborted; timeout
 */
export async function watchJob(runner: Runner, plan: JobPlan, options: WatchOptions): Promise<Observation> {
  const { clock = systemClock, patienceMs = PATIENCE_MS, pollMs = POLL_MS } = options
  const changes = runner.changes && new Changes((signal) => runner.changes!(plan, signal))
  let stuck: { readonly cause: string; readonly sinceMs: number } | undefined
  try {
    return await until(
      WATCH_MS,
      async () => {
        const found = await call(`look at ${plan.name}`, (signal) => runner.observe(plan, signal), options)
        if (!found) throw new FacetError('not_found', `${plan.name} is gone: somebody has stopped it.`)
        options.onLook?.(found)
        const { state, cause } = found
        if (state === 'succeeded' || state === 'failed') return found
        if (!cause || passes(plan, cause)) stuck = undefined
        else if (stuck?.cause !== cause.cause) stuck = { cause: cause.cause, sinceMs: clock.now() }
        if (cause && stuck && clock.now() - stuck.sinceMs >= patienceMs) throw hopeless(plan, cause)
        return cause ? `${cause.cause}: ${cause.says}` : `${plan.name} runs.`
      },
      { ...options, pollMs, ...(changes && { changes }), onStep: () => undefined },
    )
  } finally {
    await changes?.end()
  }
}

/** Whether it may end without anybody doing anything. A request above the queue's whole quota does not. */
function passes({ spec: { queue } }: JobPlan, finding: JobFinding): boolean {
  if (finding.cause === 'QUOTA') return queue !== undefined && finding.limit === undefined
  // A crash is tried again, until the job itself gives up.
  return ['LOADING', 'STOCKOUT', 'CRASH'].includes(finding.cause)
}

function hopeless({ name, kind }: JobPlan, { cause, says }: JobFinding): FacetError {
  return new FacetError(
    'unavailable',
    `${cause}: ${says} Nothing more is waited for; mend it and run facet tune ${kind} ${name} again, or facet tune stop ${name}.`,
    { retry: 'never' },
  )
}
