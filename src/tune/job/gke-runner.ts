/** Runs tunings on GKE: starts them once, looks at them, and takes them away. */

import { type ClaimOptions, claimed } from '../../../deploy/claiming.ts'
import { type Down, down } from '../../../deploy/down.ts'
import type { SecretOf } from '../../../deploy/gke.ts'
import type { KubeClient } from '../../../deploy/k8s/client.ts'
import { at } from '../../../deploy/k8s/json.ts'
import type { KubeObject } from '../../../deploy/k8s/object.ts'
import { remove, sayAction } from '../../../deploy/remove.ts'
import type { Action, Resource } from '../../../deploy/target.ts'
import { OWNER_LABEL } from '../../../deploy/target.ts'
import { compare } from '../../../deploy/up.ts'
import { type Context, call } from '../../../deploy/waiting.ts'
import { FacetError } from '../../errors.ts'
import type { RunFolder } from './bucket.ts'
import { BILLABLE, wantGkeJob } from './gke.ts'
import { JOB, JOB_SET, SPEC_ANNOTATION } from './gke-jobs.ts'
import { lookAtJob } from './gke-observe.ts'
import { identityOf, ownerOf, runName } from './gke-pod.ts'
import { GkeJobTarget } from './gke-target.ts'
import type { JobInputs, JobPlan, Observation, Runner, Started, StartOptions } from './job.ts'
import { conditionOf, QUEUES } from './kueue.ts'
import { toObservation } from './observation.ts'

export interface GkeRunnerOptions {
  readonly client: KubeClient
  readonly folderOf: (plan: JobPlan) => RunFolder
  readonly secretOf: SecretOf
}

const NOTHING: Started = { applied: [] }

export class GkeRunner implements Runner {
  readonly #options: GkeRunnerOptions

  constructor(options: GkeRunnerOptions) {
    this.#options = options
  }

  want(plan: JobPlan): Resource[] {
    return wantGkeJob(plan)
  }

  async start(plan: JobPlan, inputs: JobInputs, options: StartOptions): Promise<Started> {
    const { client, secretOf } = this.#options
    if (await this.#stands(plan, options)) return NOTHING
    await this.#checkQueue(plan, options)
    const target = new GkeJobTarget(plan, client, { secretOf, scripts: inputs.scripts })
    const own: ClaimOptions = {
      ...options,
      owner: ownerOf(plan.name),
      claimant: { by: options.by, plan: plan.run },
    }
    return claimed(target, plan, own, async (context) => {
      if (await this.#stands(plan, context)) return NOTHING
      await this.#upload(plan, inputs, context)
      try {
        return await this.#make(target, plan, context)
      } catch (error) {
        // Whoever started the same at the same time was faster.
        if (error instanceof FacetError && (await this.#stands(plan, context))) return NOTHING
        throw error
      }
    })
  }

  async observe(plan: JobPlan, signal: AbortSignal): Promise<Observation | undefined> {
    const seen = await lookAtJob(this.#options.client, plan, signal)
    if (!seen) checkNoOther(plan, active(await this.#jobs(plan, signal)))
    const launch = seen && String(seen.job.metadata.uid)
    return toObservation(plan, seen, await this.#options.folderOf(plan).written(signal, launch))
  }

  changes(plan: JobPlan, signal: AbortSignal): AsyncIterable<unknown> {
    return new GkeJobTarget(plan, this.#options.client).changes(plan, signal)
  }

  logs(plan: JobPlan, signal: AbortSignal): Promise<string[]> {
    return new GkeJobTarget(plan, this.#options.client).logs(plan, signal)
  }

  stop(plan: JobPlan, options: Context): Promise<Down> {
    const target = new GkeJobTarget(plan, this.#options.client)
    return down(target, plan, { ...options, owner: ownerOf(plan.name) })
  }

  /**
   * Whether the run is under way, or done: nothing is to be made then.
   *
   * @throws FacetError invalid_request, where the name is taken by something else that is under way
   */
  async #stands(plan: JobPlan, context: Context): Promise<boolean> {
    const jobs = await call(`look for ${plan.name}`, (signal) => this.#jobs(plan, signal), context)
    checkNoOther(plan, active(jobs))
    const [same] = active(jobs)
    if (same) {
      const wanted = wantGkeJob(plan).find(({ kind }) => BILLABLE.includes(kind))!
      const [is, was] = [wanted.body, same].map((one) => at(one, 'metadata', 'annotations', SPEC_ANNOTATION))
      if (is !== was) throw underWay(plan, 'on other machines or terms than facet.config.ts says now')
      return true
    }
    const folder = this.#options.folderOf(plan)
    const done = await call('look for done.json', (signal) => folder.text('out/done.json', signal), context)
    return done !== undefined
  }

  async #jobs(plan: JobPlan, signal: AbortSignal): Promise<KubeObject[]> {
    const { namespace } = identityOf(plan)
    const lists = await Promise.all(
      [JOB, JOB_SET].map((kind) =>
        this.#options.client.list({ ...kind, namespace }, `${OWNER_LABEL}=${ownerOf(plan.name)}`, signal),
      ),
    )
    return lists.flatMap(({ items }) => items)
  }

  /** A job in a queue that is not there would wait for ever. */
  async #checkQueue(plan: JobPlan, context: Context): Promise<void> {
    const { queue } = plan.spec
    if (queue === undefined) return
    const { namespace } = identityOf(plan)
    const found = await call(
      `look for queue ${queue}`,
      (signal) =>
        Promise.all(
          QUEUES.map((kind) => this.#options.client.get({ ...kind, name: queue, namespace }, signal)),
        ),
      context,
    )
    if (found.some((one) => one !== undefined)) return
    throw new FacetError(
      'invalid_request',
      `queue: the namespace ${namespace} has no LocalQueue ${queue}; make one, install Kueue where it is missing, or leave queue out.`,
      { field: 'queue' },
    )
  }

  async #upload(plan: JobPlan, { uploads }: JobInputs, context: Context): Promise<void> {
    const folder = this.#options.folderOf(plan)
    for (const [name, file] of Object.entries(uploads)) {
      const what = `upload ${name} to ${plan.folders.data}`
      context.onStep?.({ type: 'doing', what })
      await context.fence?.()
      // As long as it takes: no call's limit suits files of every size.
      const moved = await folder.upload(`data/${name}`, file, context.signal)
      if (moved) context.onStep?.({ type: 'done', what })
    }
  }

  async #make(target: GkeJobTarget, plan: JobPlan, context: ClaimOptions): Promise<Started> {
    const owner = ownerOf(plan.name)
    const read = await call(`read ${owner}`, (signal) => target.read(plan, signal), context)
    // A job that is over cannot be started again; another one of its name can.
    const over = read.filter(({ kind, owner: whose }) => BILLABLE.includes(kind) && whose === owner)
    await remove(target, plan, over, { ...context, owner })
    const { actions } = await compare(target, plan, owner, context)
    const applied: Action[] = []
    for (const action of actions) {
      const what = sayAction(action)
      context.onStep?.({ type: 'doing', what })
      await context.fence?.()
      await call(what, (signal) => target.apply(action, signal), context)
      context.onStep?.({ type: 'done', what })
      applied.push(action)
    }
    return { applied }
  }
}

function isOver(job: KubeObject): boolean {
  return ['Complete', 'Completed', 'Failed'].some((type) => conditionOf(job, type)?.status === 'True')
}

function active(jobs: readonly KubeObject[]): KubeObject[] {
  return jobs.filter((job) => !isOver(job) && job.metadata.deletionTimestamp === undefined)
}

/** @throws FacetError invalid_request, where another run of the same tuning is under way */
function checkNoOther(plan: JobPlan, jobs: readonly KubeObject[]): void {
  const other = jobs.find(({ metadata }) => metadata.name !== runName(plan))
  if (other) throw underWay(plan, `with another spec or other data, as ${other.metadata.name}`)
}

function underWay({ name }: JobPlan, how: string): FacetError {
  return new FacetError(
    'invalid_request',
    `${name} is under way ${how}; wait for its end, or run facet tune stop ${name} first.`,
    { field: name },
  )
}
