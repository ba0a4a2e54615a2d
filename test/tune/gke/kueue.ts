/** What Kueue does with a job that carries a queue: a Workload, and the job goes on once there is room. */
import { at, listOf } from '../../../deploy/k8s/json.ts'
import type { JsonObject } from '../../../deploy/target.ts'
import { type Cluster, identityOf } from '../../deploy/k8s/cluster/cluster.ts'
import { condition, isTrue, put, setConditions } from './batch.ts'

export interface Queue {
  room: boolean
  /** What its scheduler says where there is none. */
  says?: string
  /** Its reason: `Pending`, or `Inadmissible` where the queue itself cannot be used. */
  reason?: string
}

const API = 'kueue.x-k8s.io/v1beta2'
const NO_ROOM =
  "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor l4-spot, 2 more needed"

/** @returns whether anything has happened */
export function kueueStep(cluster: Cluster, job: JsonObject, queue: Queue): boolean {
  const name = at(job, 'metadata', 'labels', 'kueue.x-k8s.io/queue-name')
  if (typeof name !== 'string' || isTrue(job, 'Complete') || isTrue(job, 'Failed')) return false
  const { uid, namespace } = identityOf(job)
  const workload = cluster
    .list(API, 'Workload')
    .find((one) => at(one, 'metadata', 'labels', 'kueue.x-k8s.io/job-uid') === uid)
  if (!workload) {
    make(cluster, job, name, namespace, uid)
    return true
  }
  const held = at(job, 'spec', 'suspend') === true
  if (queue.room && held) {
    setConditions(cluster, workload, [
      condition('QuotaReserved', 'QuotaReserved', 'Quota reserved in ClusterQueue cluster-queue'),
      condition('Admitted', 'Admitted', 'The workload is admitted'),
    ])
    put(cluster, job, { spec: { ...(job.spec as JsonObject), suspend: false } }, 'kueue')
    return true
  }
  if (queue.room) return false
  const pending = condition('QuotaReserved', queue.reason ?? 'Pending', queue.says ?? NO_ROOM, 'False')
  const evicted = condition(
    'Evicted',
    'Preempted',
    'Preempted to accommodate a workload due to prioritization',
  )
  const told = setConditions(cluster, workload, held ? [pending] : [pending, evicted])
  if (held) return told
  put(cluster, job, { spec: { ...(job.spec as JsonObject), suspend: true } }, 'kueue')
  return true
}

function make(cluster: Cluster, job: JsonObject, queue: string, namespace: string, uid: string): void {
  const { apiVersion, kind } = job
  const { name } = identityOf(job)
  cluster.api.put(
    {
      apiVersion: API,
      kind: 'Workload',
      metadata: {
        name: `${String(kind).toLowerCase()}-${name}-19797`,
        namespace,
        labels: { 'kueue.x-k8s.io/job-uid': uid },
        ownerReferences: [{ apiVersion: apiVersion!, kind: kind!, name, uid, controller: true }],
      },
      spec: { queueName: queue, active: true },
    },
    'kueue',
  )
}

/** A LocalQueue, as whoever runs the cluster makes it. */
export function putQueue(cluster: Cluster, name: string, namespace = 'facet'): void {
  const metadata = { name, namespace }
  cluster.api.put({ apiVersion: API, kind: 'LocalQueue', metadata, spec: { clusterQueue: 'cluster-queue' } })
}

/** Names of the queues' Workloads. */
export const workloadsOf = (cluster: Cluster): string[] =>
  listOf(cluster.list(API, 'Workload')).map((one) => identityOf(one).name)
