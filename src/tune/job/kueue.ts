/** What Kueue says of a job that it holds back: its Workload's conditions, as one cause. Pure. */
import { sentence } from '../../../deploy/cause.ts'
import { at, listOf } from '../../../deploy/k8s/json.ts'
import type { Json, JsonObject } from '../../../deploy/target.ts'
import type { JobFinding } from './cause.ts'

/** Newest first: v1beta1 is still served, with a warning. */
export const WORKLOADS: readonly { readonly apiVersion: string; readonly kind: string }[] = [
  { apiVersion: 'kueue.x-k8s.io/v1beta2', kind: 'Workload' },
  { apiVersion: 'kueue.x-k8s.io/v1beta1', kind: 'Workload' },
]
export const QUEUES: typeof WORKLOADS = WORKLOADS.map(({ apiVersion }) => ({
  apiVersion,
  kind: 'LocalQueue',
}))
/** By which Kueue says whose Workload it is: the job's uid. */
export const JOB_UID_LABEL = 'kueue.x-k8s.io/job-uid'

/** As its scheduler puts it for each resource that has no room. */
const NEVER =
  /insufficient quota for (\S+) in flavor (\S+),.* current podset request \(([\d.]+)\w*\) > maximum capacity \(([\d.]+)/
const NOT_NOW = /insufficient (?:unused )?quota for (\S+) in flavor ([^\s,]+)(?:, (\S+) more needed)?/
const QUEUE = /(?:LocalQueue|ClusterQueue) \S+ (?:doesn't exist|is inactive)/

/** @param queue of the spec; @param workload undefined: Kueue has made none yet */
export function fromWorkload(queue: string, workload: JsonObject | undefined): JobFinding {
  const from = `Workload ${String(at(workload, 'metadata', 'name'))}`
  const reserved = conditionOf(workload, 'QuotaReserved')
  if (!workload || !reserved)
    return { cause: 'LOADING', says: `It stands in the queue ${queue}, and Kueue has not looked at it yet.` }
  const { reason, message, status } = reserved
  if (status === 'True')
    return {
      cause: 'LOADING',
      says: `Kueue has reserved quota for it, and checks whether it may start.`,
      from,
    }
  const said = sentence(message)
  if (QUEUE.test(message))
    return { cause: 'SPEC', field: 'queue', says: `The queue ${queue} cannot be used: ${said}`, from }
  return { ...toQuota(queue, message), says: `The queue ${queue} has no room (${reason}): ${said}`, from }
}

function toQuota(
  queue: string,
  message: string,
): { readonly cause: 'QUOTA'; readonly quota: string; readonly wanted?: number; readonly limit?: number } {
  const never = NEVER.exec(message)
  if (never)
    return {
      cause: 'QUOTA',
      quota: `${never[1]} in flavor ${never[2]}`,
      wanted: Number(never[3]),
      limit: Number(never[4]),
    }
  const notNow = NOT_NOW.exec(message)
  return { cause: 'QUOTA', quota: notNow ? `${notNow[1]} in flavor ${notNow[2]}` : queue }
}

interface Condition {
  readonly status: string
  readonly reason: string
  readonly message: string
}

/** Of any object whose status has conditions. */
export function conditionOf(object: Json | undefined, type: string): Condition | undefined {
  const found = listOf(at(object, 'status', 'conditions')).find((one) => one.type === type)
  return (
    found && {
      status: String(found.status ?? ''),
      reason: String(found.reason ?? ''),
      message: String(found.message ?? ''),
    }
  )
}
