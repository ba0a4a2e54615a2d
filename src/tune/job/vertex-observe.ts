/** What Vertex AI tells of a tuning's custom jobs, and what it means for the tuning. Pure. */
import { toSignal } from '../../../deploy/google/refusal.ts'
import type { Json, JsonObject } from '../../../deploy/target.ts'
import { isObject } from '../../check.ts'
import { classifyJob, type JobFinding } from './cause.ts'
import type { JobPlan } from './job.ts'

/** As far as it is looked at. */
export interface SeenJob {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: string
  readonly createdMs: number
  /** 0: it has not ended. */
  readonly endedMs: number
  readonly error: { readonly code: number; readonly message: string } | undefined
}

const ENDED: readonly string[] = [
  'JOB_STATE_SUCCEEDED',
  'JOB_STATE_PARTIALLY_SUCCEEDED',
  'JOB_STATE_FAILED',
  'JOB_STATE_CANCELLED',
  'JOB_STATE_EXPIRED',
]

/** Of a job as `toJson` gives it. */
export function toSeen({ name, labels, state, createTime, endTime, error }: JsonObject): SeenJob {
  const failed = isObject(error) ? { code: Number(error.code), message: String(error.message) } : undefined
  return {
    name: String(name),
    labels: (labels ?? {}) as Record<string, string>,
    state: String(state),
    createdMs: toMs(createTime),
    endedMs: toMs(endTime),
    error: failed,
  }
}

/** Of google.protobuf.Timestamp; 0 where there is none. */
function toMs(time: Json | undefined): number {
  return isObject(time) ? Number(time.seconds) * 1000 + Number(time.nanos ?? 0) / 1e6 : 0
}

/** Whether it costs money, or will. */
export const isActive = ({ state }: SeenJob): boolean => !ENDED.includes(state)

/** Of two that were made at the same moment, whoever looks names the same one. */
export function elderFirst(a: SeenJob, b: SeenJob): number {
  return a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1)
}

/** The job that a run is: of those under way the eldest, as the others yield to it; or the one that ended last. */
export function currentOf(jobs: readonly SeenJob[]): SeenJob | undefined {
  const [active] = jobs.filter(isActive).toSorted(elderFirst)
  return active ?? jobs.toSorted((a, b) => b.endedMs - a.endedMs || elderFirst(b, a))[0]
}

/** Why a job that has not ended does not run. */
export function waiting({ state, error }: SeenJob): JobFinding {
  if (error && error.message !== '') {
    const finding = classifyJob([errorOf(error)])
    if (finding.cause !== 'LOADING') return finding
  }
  const says =
    state === 'JOB_STATE_CANCELLING'
      ? 'It is being stopped.'
      : 'Vertex AI is getting its machines, or its image.'
  return { cause: 'LOADING', says, from: `Vertex AI custom job: ${state}` }
}

const errorOf = ({ code, message }: NonNullable<SeenJob['error']>) =>
  toSignal('Vertex AI custom job', Object.assign(new Error(message), { code }))

/** Why a job that has ended did not succeed. */
export function causeOf(
  { name, kind }: JobPlan,
  { state, error }: SeenJob,
  lines: readonly string[],
  saved: number | undefined,
): JobFinding {
  const from = `Vertex AI custom job: ${state}`
  const again = `run facet tune ${kind} ${name} again to go on${saved === undefined ? '' : ` from step ${saved}`}`
  if (state === 'JOB_STATE_CANCELLED')
    return { cause: 'CRASH', lines: [], says: `It was stopped; ${again}.`, from }
  const told = classifyJob([
    { type: 'log', source: 'Vertex AI custom job', lines },
    ...(error ? [errorOf(error)] : []),
  ])
  if (told.cause !== 'LOADING') return told
  if (/timeout|timed out|deadline/i.test(error?.message ?? '') || state === 'JOB_STATE_EXPIRED')
    return { cause: 'GUARD', says: `Its time is used up; raise guard, and ${again}.`, from }
  return { cause: 'CRASH', lines, says: `It has ended; its last lines say why. Mend it, and ${again}.`, from }
}
