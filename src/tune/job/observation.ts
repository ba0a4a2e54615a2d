/** From what a cluster shows and what the job has written to how it does: one state, and at most one cause. Pure. */
import { at, listOf } from '../../../deploy/k8s/json.ts'
import { classifyJob, type JobFinding } from './cause.ts'
import { LIMIT_STATUS } from './gke-jobs.ts'
import { isDisrupted, isRunning, type SeenJob } from './gke-observe.ts'
import type { JobLine, JobPlan, Observation } from './job.ts'
import { conditionOf, fromWorkload } from './kueue.ts'
import { lastStep, savedStep } from './metrics.ts'
import type { Written } from './written.ts'

/** @param written its attempts are of this launch. @returns undefined where nothing of the run is there */
export function toObservation(
  plan: JobPlan,
  seen: SeenJob | undefined,
  { steps, done, attempts }: Written,
): Observation | undefined {
  const { started, crashed } = attempts
  // Every attempt but the last, and but those that crashed, was taken its machine away.
  const before = Math.max(0, started - 1 - crashed)
  const ended = done || isTrue(seen, 'Complete') || isTrue(seen, 'Completed')
  if (ended) return { state: 'succeeded', attempt: started, preemptions: before, steps }
  if (!seen) return undefined
  if (isTrue(seen, 'Failed')) {
    const cause = causeOfFailure(plan, seen, steps)
    const preemptions = cause.cause === 'PREEMPTED' ? cause.times : before
    return { state: 'failed', attempt: started, preemptions, cause, steps }
  }
  const running = seen.pods.length > 0 && seen.pods.every(isRunning)
  if (running) return { state: 'running', attempt: Math.max(1, started), preemptions: before, steps }
  const preemptions = Math.max(0, started - crashed)
  const state = preemptions > 0 ? 'preempted' : 'waiting'
  return { state, attempt: started, preemptions, cause: causeOfWaiting(plan, seen, state), steps }
}

function causeOfWaiting(
  { spec: { queue } }: JobPlan,
  seen: SeenJob,
  state: 'waiting' | 'preempted',
): JobFinding {
  if (queue !== undefined && at(seen.job, 'spec', 'suspend') === true)
    return fromWorkload(queue, seen.workload)
  const waits = seen.pods.length === 0 || seen.pods.some(isDisrupted)
  const finding = classifyJob(seen.signals)
  if (finding.cause !== 'LOADING' || !waits || state === 'waiting') return finding
  return { cause: 'LOADING', says: 'Its machine was taken away, and another is asked for.' }
}

function causeOfFailure(plan: JobPlan, seen: SeenJob, steps: readonly JobLine[]): JobFinding {
  const failed = conditionOf(seen.job, 'Failed')!
  const from = `${seen.job.kind} ${seen.job.metadata.name}: ${failed.reason}`
  if (new RegExp(`exit code ${LIMIT_STATUS} `).test(failed.message) || seen.pods.some(hasReachedLimit))
    return { cause: 'PREEMPTED', times: plan.maxPreemptions, says: limitSays(plan, steps), from }
  if (failed.reason === 'DeadlineExceeded' || /DeadlineExceeded/.test(failed.message))
    return {
      cause: 'GUARD',
      says: `guard ended it: what it may cost, or how long it may take, is used up${progress(steps)}; raise guard, and start again to go on from there.`,
      from,
    }
  return classifyJob(seen.signals)
}

function limitSays({ name, kind, maxPreemptions }: JobPlan, steps: readonly JobLine[]): string {
  return `Its machines were taken away more than ${maxPreemptions} times${progress(steps)}; run facet tune ${kind} ${name} again to go on from there, or take capacity on-demand.`
}

/** `, at step 480 of 3000, saved at 450`. */
function progress(steps: readonly JobLine[]): string {
  const last = lastStep(steps)
  const saved = savedStep(steps)
  if (!last) return ''
  return `, at step ${last.step} of ${last.steps}${saved === undefined ? '' : `, saved at ${saved}`}`
}

function hasReachedLimit(pod: SeenJob['pods'][number]): boolean {
  return listOf(at(pod, 'status', 'containerStatuses')).some(
    (status) => at(status, 'state', 'terminated', 'exitCode') === LIMIT_STATUS,
  )
}

const isTrue = (seen: SeenJob | undefined, type: string): boolean =>
  conditionOf(seen?.job, type)?.status === 'True'
