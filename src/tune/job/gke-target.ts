/** A cluster as the place of a tuning's objects: what deployments' machinery applies, compares and removes there. */
import type { Signal } from '../../../deploy/cause.ts'
import type { Claim } from '../../../deploy/claim.ts'
import type { KubeClient } from '../../../deploy/k8s/client.ts'
import type { KindRef } from '../../../deploy/k8s/discovery.ts'
import { Lease } from '../../../deploy/k8s/lease.ts'
import type { KubeObject } from '../../../deploy/k8s/object.ts'
import { OwnedObjects, toBody } from '../../../deploy/k8s/owned.ts'
import type { Action, JsonObject, LiveResource, Resource, Target } from '../../../deploy/target.ts'
import { BILLABLE, type GkeInputs, wantGkeJob } from './gke.ts'
import { JOB, JOB_SET } from './gke-jobs.ts'
import { changes, lookAtJob, podsOf } from './gke-observe.ts'
import { identityOf, isRoot, ownerOf } from './gke-pod.ts'
import type { JobPlan } from './job.ts'

/** Where objects may be of runs that are no longer wanted. */
const KINDS: readonly KindRef[] = [
  ...['ServiceAccount', 'Secret', 'ConfigMap'].map((kind) => ({ apiVersion: 'v1', kind })),
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  JOB,
  JOB_SET,
]

export class GkeJobTarget implements Target<JobPlan> {
  readonly name: 'gke-gpu' | 'gke-tpu'
  readonly #client: KubeClient
  readonly #inputs: GkeInputs
  readonly #owned: OwnedObjects

  constructor(plan: JobPlan, client: KubeClient, inputs: GkeInputs = {}) {
    const root = plan.machines !== undefined && isRoot(plan.machines)
    this.name = root ? 'gke-tpu' : 'gke-gpu'
    this.#client = client
    this.#inputs = inputs
    this.#owned = new OwnedObjects(client, {
      owner: ownerOf(plan.name),
      namespace: identityOf(plan).namespace,
      level: root ? 'baseline' : 'restricted',
      kinds: KINDS,
      clusterWide: [],
      billable: BILLABLE,
    })
  }

  want(plan: JobPlan): Resource[] {
    return wantGkeJob(plan, this.#inputs)
  }

  async read(plan: JobPlan, signal: AbortSignal): Promise<LiveResource[]> {
    const wanted = wantGkeJob(plan)
    const objects = await this.#owned.find(wanted, signal)
    return objects.map((object) => this.#owned.toLive(object, wanted))
  }

  async preview(want: Resource, _: LiveResource, signal: AbortSignal): Promise<JsonObject> {
    return toBody(await this.#client.apply(want.body as KubeObject, signal, { dryRun: true }))
  }

  async apply(action: Action, signal: AbortSignal): Promise<void> {
    await this.#owned.apply(action, signal)
  }

  async claim(plan: JobPlan, claim: Claim, signal: AbortSignal): Promise<Claim | undefined> {
    const identity = identityOf(plan)
    await this.#owned.ensureNamespace(identity.namespace, signal)
    return new Lease(this.#client, identity).claim(claim, signal)
  }

  release(plan: JobPlan, by: string, signal: AbortSignal): Promise<void> {
    return new Lease(this.#client, identityOf(plan)).release(by, signal)
  }

  async observe(plan: JobPlan, signal: AbortSignal): Promise<Signal[]> {
    return [...((await lookAtJob(this.#client, plan, signal))?.signals ?? [])]
  }

  changes(plan: JobPlan, signal: AbortSignal): AsyncIterable<unknown> {
    return changes(this.#client, plan, signal)
  }

  /** A job goes at once, its pods when their scripts have ended. */
  async lingering(plan: JobPlan, signal: AbortSignal): Promise<string[]> {
    const pods = await podsOf(this.#client, plan, signal)
    return pods.map(({ metadata }) => `Pod ${metadata.name} is ending.`)
  }

  async logs(plan: JobPlan, signal: AbortSignal): Promise<string[]> {
    const seen = await lookAtJob(this.#client, plan, signal)
    return (seen?.signals ?? []).flatMap((one) => (one.type === 'log' ? one.lines : []))
  }

  endpoint(): undefined {
    return undefined
  }
}
