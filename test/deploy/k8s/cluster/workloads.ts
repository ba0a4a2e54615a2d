/** What the controllers of Deployments and Jobs do: pods of the template that is wanted, and a status that says how far it is. */
import { createHash } from 'node:crypto'
import { at } from '../../../../deploy/k8s/json.ts'
import type { JsonObject } from '../../../../deploy/target.ts'
import { type Cluster, identityOf } from './cluster.ts'
import { isReady } from './pods.ts'

const HASH = 'pod-template-hash'

/** A rollout brings up new pods before it takes old ones away. @returns whether anything has happened */
export function deploymentStep(cluster: Cluster): boolean {
  let moved = orphans(cluster)
  for (const deployment of cluster.list('apps/v1', 'Deployment')) {
    const { uid } = identityOf(deployment)
    const wanted = Number(at(deployment, 'spec', 'replicas') ?? 1)
    const template = at(deployment, 'spec', 'template') as JsonObject
    const hash = createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 8)
    const pods = owned(cluster, uid)
    const current = pods.filter((pod) => at(pod, 'metadata', 'labels', HASH) === hash)
    const old = pods.filter((pod) => !current.includes(pod))
    const ready = current.filter(isReady).length
    for (let missing = current.length; missing < wanted; missing++)
      makePod(cluster, deployment, template, hash)
    const spare = [...current.slice(wanted), ...old.slice(0, Math.max(0, old.length + ready - wanted))]
    for (const pod of spare) takeAway(cluster, pod)
    moved = spare.length > 0 || current.length < wanted || moved
    moved =
      setStatus(cluster, deployment, { wanted, all: pods.filter(isReady).length, updated: current.length }) ||
      moved
  }
  return moved
}

/** A Job ends well as soon as its pod would run. */
export function jobStep(cluster: Cluster): boolean {
  return cluster
    .list('batch/v1', 'Job')
    .filter((job) => !cluster.isForeign(job))
    .map((job) =>
      cluster.setStatus(job, {
        succeeded: 1,
        conditions: [{ type: 'Complete', status: 'True', reason: 'CompletionsReached' }],
      }),
    )
    .includes(true)
}

function setStatus(
  cluster: Cluster,
  deployment: JsonObject,
  { wanted, all, updated }: { readonly wanted: number; readonly all: number; readonly updated: number },
): boolean {
  const enough = all >= wanted
  return cluster.setStatus(deployment, {
    observedGeneration: at(deployment, 'metadata', 'generation') ?? 1,
    replicas: wanted,
    updatedReplicas: Math.min(updated, wanted),
    readyReplicas: all,
    availableReplicas: all,
    unavailableReplicas: Math.max(0, wanted - all),
    conditions: [
      {
        type: 'Available',
        status: enough ? 'True' : 'False',
        reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
        message: `Deployment ${enough ? 'has' : 'does not have'} minimum availability.`,
      },
    ],
  })
}

/** The garbage collector: pods go after what made them. */
function orphans(cluster: Cluster): boolean {
  const owners = new Set(cluster.list('apps/v1', 'Deployment').map((one) => identityOf(one).uid))
  const left = cluster
    .list('v1', 'Pod')
    .filter((pod) => !owners.has(ownerOf(pod)) && !identityOf(pod).deleting && !cluster.isForeign(pod))
  for (const pod of left) takeAway(cluster, pod)
  return left.length > 0
}

function owned(cluster: Cluster, uid: string): JsonObject[] {
  return cluster.list('v1', 'Pod').filter((pod) => ownerOf(pod) === uid && !identityOf(pod).deleting)
}

function ownerOf(pod: JsonObject): string {
  const [owner] = (at(pod, 'metadata', 'ownerReferences') ?? []) as JsonObject[]
  return String(owner?.uid)
}

let made = 0

function makePod(cluster: Cluster, deployment: JsonObject, template: JsonObject, hash: string): void {
  const { name, namespace, uid } = identityOf(deployment)
  const { labels, ...metadata } = template.metadata as JsonObject
  made++
  cluster.api.put(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...metadata,
        name: `${name}-${hash}-${made.toString(36).padStart(5, '0')}`,
        namespace,
        labels: { ...(labels as JsonObject), [HASH]: hash },
        // A ReplicaSet stands between them in a real cluster.
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name, uid, controller: true }],
      },
      spec: template.spec!,
      status: { phase: 'Pending' },
    },
    'kube-controller-manager',
  )
}

/** As a deletion: it is marked, and goes when its server has ended. */
function takeAway(cluster: Cluster, pod: JsonObject): void {
  const { name, namespace } = identityOf(pod)
  const metadata = {
    name,
    namespace,
    deletionTimestamp: cluster.api.store.now(),
    deletionGracePeriodSeconds: 120,
  }
  cluster.api.put({ apiVersion: 'v1', kind: 'Pod', metadata }, 'kube-controller-manager')
}
