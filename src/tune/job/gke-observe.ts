/** What can be seen of a tuning's job in its cluster: the job, the pods of its last start, Kueue's Workload, events. */
import type { Signal } from '../../../deploy/cause.ts'
import type { KubeClient } from '../../../deploy/k8s/client.ts'
import type { KindRef } from '../../../deploy/k8s/discovery.ts'
import { at, listOf } from '../../../deploy/k8s/json.ts'
import { type KubeObject, selectorLabels } from '../../../deploy/k8s/object.ts'
import { eventOf, podSignals } from '../../../deploy/k8s/observe.ts'
import { type Change, merged, watch } from '../../../deploy/k8s/watch.ts'
import { JOB, JOB_SET } from './gke-jobs.ts'
import { COMPONENT, CONTAINER, identityOf, runName } from './gke-pod.ts'
import type { JobPlan } from './job.ts'
import { conditionOf, JOB_UID_LABEL, WORKLOADS } from './kueue.ts'

/** Of GCS FUSE, which GKE puts beside the container. */
const SIDECAR = 'gke-gcsfuse-sidecar'
const LOG_LINES = 200

export interface SeenJob {
  readonly job: KubeObject
  readonly workload?: KubeObject
  /** Of the last start, one a host; those before it tell nothing of how it does now. */
  readonly pods: readonly KubeObject[]
  readonly signals: readonly Signal[]
}

/** Undefined where there is no job of the run. */
export async function lookAtJob(
  client: KubeClient,
  plan: JobPlan,
  signal: AbortSignal,
): Promise<SeenJob | undefined> {
  const { namespace } = identityOf(plan)
  const job = await client.get({ ...jobKind(plan), name: runName(plan), namespace }, signal)
  if (!job) return undefined
  const [pods, workload, events] = await Promise.all([
    newestPods(client, plan, signal),
    plan.spec.queue === undefined ? undefined : workloadOf(client, job, signal),
    client.list({ apiVersion: 'v1', kind: 'Event', namespace }, '', signal),
  ])
  const names = new Set([job.metadata.name, ...pods.map(({ metadata }) => metadata.name)])
  const told = events.items.filter((event) => names.has(String(at(event, 'involvedObject', 'name'))))
  // What a machine that is taken away leaves behind looks like a crash, and is none.
  const alive = pods.filter((pod) => !isDisrupted(pod))
  return {
    job,
    ...(workload && { workload }),
    pods,
    signals: [
      ...(await podSignals(client, alive, signal)),
      ...(await sidecarLogs(client, alive, signal)),
      ...told.flatMap((event) => eventOf(event, runName(plan))),
    ],
  }
}

export function jobKind({ machines }: JobPlan): KindRef {
  return (machines?.hosts ?? 1) > 1 ? JOB_SET : JOB
}

export function isDisrupted(pod: KubeObject): boolean {
  return conditionOf(pod, 'DisruptionTarget')?.status === 'True'
}

/** Whether the script's container runs. */
export function isRunning(pod: KubeObject): boolean {
  const container = listOf(at(pod, 'status', 'containerStatuses')).find(({ name }) => name === CONTAINER)
  return at(container, 'state', 'running') !== undefined && pod.metadata.deletionTimestamp === undefined
}

/** All pods of the tuning, the newest first. */
export async function podsOf(
  client: KubeClient,
  plan: JobPlan,
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  const identity = identityOf(plan)
  const { items } = await client.list(
    { apiVersion: 'v1', kind: 'Pod', namespace: identity.namespace },
    selectorOf(plan),
    signal,
  )
  return items.toSorted((a, b) => (timeOf(a) < timeOf(b) ? 1 : timeOf(a) > timeOf(b) ? -1 : 0))
}

/** Everything that moves by itself while somebody watches. */
export function changes(client: KubeClient, plan: JobPlan, signal: AbortSignal): AsyncGenerator<Change> {
  const { namespace } = identityOf(plan)
  const kinds = [
    { kind: { apiVersion: 'v1', kind: 'Pod' }, labelSelector: selectorOf(plan) },
    { kind: jobKind(plan), labelSelector: selectorOf(plan) },
    { kind: { apiVersion: 'v1', kind: 'Event' }, labelSelector: '' },
  ]
  return merged(
    kinds.map(
      ({ kind, labelSelector }) =>
        (over: AbortSignal) =>
          watch(client, { ...kind, namespace }, over, { labelSelector }),
    ),
    signal,
  )
}

function selectorOf(plan: JobPlan): string {
  return Object.entries(selectorLabels(identityOf(plan), COMPONENT))
    .map(([label, value]) => `${label}=${value}`)
    .join(',')
}

async function newestPods(
  client: KubeClient,
  plan: JobPlan,
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  return (await podsOf(client, plan, signal)).slice(0, plan.machines?.hosts ?? 1)
}

const timeOf = ({ metadata }: KubeObject): string => String(metadata.creationTimestamp)

async function workloadOf(
  client: KubeClient,
  job: KubeObject,
  signal: AbortSignal,
): Promise<KubeObject | undefined> {
  const { uid, namespace } = job.metadata
  for (const kind of WORKLOADS) {
    const { items } = await client.list(
      { ...kind, namespace: String(namespace) },
      `${JOB_UID_LABEL}=${String(uid)}`,
      signal,
    )
    if (items.length > 0) return items[0]
  }
  return undefined
}

async function sidecarLogs(
  client: KubeClient,
  pods: readonly KubeObject[],
  signal: AbortSignal,
): Promise<Signal[]> {
  const beside = pods.filter((pod) =>
    listOf(at(pod, 'status', 'initContainerStatuses')).some(({ name }) => name === SIDECAR),
  )
  const logs = beside.map(async ({ metadata: { name, namespace } }): Promise<Signal> => {
    const lines = await client.logs({ name, namespace: String(namespace) }, SIDECAR, LOG_LINES, signal)
    return { type: 'log', source: `Pod ${name}, ${SIDECAR}`, lines }
  })
  return Promise.all(logs)
}
