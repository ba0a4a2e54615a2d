/** Runs tunings as custom jobs of Vertex AI: found again by their labels, whoever looks. */
import { randomUUID } from 'node:crypto'
import type { v1 } from '@google-cloud/aiplatform'
import type { Down } from '../../../deploy/down.ts'
import type { SecretOf } from '../../../deploy/gke.ts'
import { type Asking, ask, type OneTry } from '../../../deploy/google/ask.ts'
import type { Rest } from '../../../deploy/google/rest.ts'
import type { JsonObject, LiveResource, Resource } from '../../../deploy/target.ts'
import { linesOf } from '../../../deploy/vertex/logs.ts'
import { lastOf, toJson } from '../../../deploy/vertex/wire.ts'
import { type Context, until } from '../../../deploy/waiting.ts'
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import type { RunFolder } from './bucket.ts'
import type { JobInputs, JobPlan, Observation, Runner, Started, StartOptions } from './job.ts'
import { savedStep } from './metrics.ts'
import {
  parentOf,
  RUN_LABEL,
  SPEC_LABEL,
  START_LABEL,
  TUNING_LABEL,
  toRequest,
  wantVertexJob,
} from './vertex.ts'
import { causeOf, currentOf, elderFirst, isActive, type SeenJob, toSeen, waiting } from './vertex-observe.ts'
import { ONLY_LAUNCH } from './written.ts'

export interface VertexRunnerOptions {
  readonly jobs: v1.JobServiceClient
  readonly rest: Rest
  readonly asking: Omit<Asking, 'signal'>
  readonly folderOf: (plan: JobPlan) => RunFolder
  readonly secretOf: SecretOf
}

/** A job is cancelled within minutes. */
const STOP_MS = 10 * 60_000
const LOG_LINES = 200

export class VertexRunner implements Runner {
  readonly #options: VertexRunnerOptions

  constructor(options: VertexRunnerOptions) {
    this.#options = options
  }

  want(plan: JobPlan): Resource[] {
    return wantVertexJob(plan)
  }

  async start(plan: JobPlan, inputs: JobInputs, { signal, onStep }: StartOptions): Promise<Started> {
    const { folderOf, secretOf } = this.#options
    const [want] = this.want(plan) as [Resource]
    if (await this.#stands(plan, want, signal)) return { applied: [] }
    const token = secretOf(plan.spec.tokenEnv ?? 'HF_TOKEN')
    const folder = folderOf(plan)
    for (const [name, file] of Object.entries(inputs.uploads))
      await folder.upload(`data/${name}`, file, signal)
    const texts = { ...inputs.scripts, 'job.json': `${JSON.stringify(plan.settings, null, 2)}\n` }
    for (const [name, text] of Object.entries(texts)) await folder.write(`job/${name}`, text, signal)
    // The library checks the request as it writes it; the compiler knows ours as JSON only.
    const by = randomUUID()
    const request = toRequest(want.body, token, by)
    const what = `create ${want.kind} ${want.name}`
    await ask(
      what,
      async (one, again) => {
        // A try that was not answered may have made it: nobody pays for two.
        if (again && (await this.#active(plan, signal)).length > 0) return [undefined]
        await this.#options.jobs.createCustomJob(request as object, one)
        return [undefined]
      },
      { ...this.#options.asking, signal },
    )
    if (await this.#yields(plan, want, { by, signal, ...(onStep && { onStep }) })) return { applied: [] }
    return { applied: [{ type: 'create', want }] }
  }

  async observe(plan: JobPlan, signal: AbortSignal): Promise<Observation | undefined> {
    const job = await this.#current(plan, signal)
    const { steps, done, attempts } = await this.#options.folderOf(plan).written(signal, ONLY_LAUNCH)
    if (!job && !done) return undefined
    const { started, crashed } = attempts
    const running = job?.state === 'JOB_STATE_RUNNING'
    const preemptions = Math.max(0, started - crashed - (running || done ? 1 : 0))
    const seen = { attempt: started, preemptions, steps }
    if (done || job?.state === 'JOB_STATE_SUCCEEDED') return { state: 'succeeded', ...seen }
    if (running) return { state: 'running', ...seen, attempt: Math.max(1, started) }
    if (isActive(job!)) return { state: started > 0 ? 'preempted' : 'waiting', ...seen, cause: waiting(job!) }
    const cause = causeOf(plan, job!, await this.logs(plan, signal), savedStep(steps))
    return { state: 'failed', ...seen, cause }
  }

  async logs(plan: JobPlan, signal: AbortSignal): Promise<string[]> {
    const job = await this.#current(plan, signal)
    if (!job) return []
    const json = {
      resourceNames: [`projects/${plan.spec.project}`],
      filter: `resource.type="ml_job" AND resource.labels.job_id="${lastOf(job.name)}"`,
      orderBy: 'timestamp desc',
      pageSize: LOG_LINES,
    }
    const what = `read the log of Vertex AI custom job ${plan.run}`
    const request = { method: 'POST', json } as const
    const { entries } = await this.#options.rest.call(what, 'logging', '/v2/entries:list', signal, request)
    const found = Array.isArray(entries) ? entries.filter(isObject) : []
    return found.toReversed().flatMap(linesOf)
  }

  async stop(plan: JobPlan, options: Context): Promise<Down> {
    const [want] = this.want(plan) as [Resource]
    const active = await this.#active(plan, options.signal)
    for (const job of active) await this.#cancel(want, job, options.signal)
    await until(
      STOP_MS,
      async () => {
        const left = await this.#active(plan, options.signal)
        return left.length > 0 ? `${want.kind} ${want.name} is ending.` : {}
      },
      options,
    )
    const removed = active.map(({ name }): LiveResource => ({ ...want, id: name, owner: plan.name }))
    return { removed, left: [] }
  }

  /** Whether the run is under way, or done. @throws FacetError invalid_request, where another of that name is */
  async #stands(plan: JobPlan, want: Resource, signal: AbortSignal): Promise<boolean> {
    const active = await this.#active(plan, signal)
    checkSame(plan, want, active)
    if (active.length > 0) return true
    return (await this.#options.folderOf(plan).text('out/done.json', signal)) !== undefined
  }

  /**
   * Two starts at the same moment see nothing of each other, and make two jobs: the younger one is cancelled.
   *
   * @param options `by` labels the job of this start
   * @returns whether it was this start's
   * @throws FacetError invalid_request, where the elder is another run
   */
  async #yields(plan: JobPlan, want: Resource, { by, signal, onStep }: StartOptions): Promise<boolean> {
    const [eldest, ...younger] = (await this.#active(plan, signal)).toSorted(elderFirst)
    const own = younger.find(({ labels }) => labels[START_LABEL] === by)
    if (!eldest || !own) return false
    await this.#cancel(want, own, signal)
    const says = `Cancelled custom job ${lastOf(own.name)}: ${plan.name} was started twice at once, and ${lastOf(eldest.name)} goes on.`
    onStep?.({ type: 'done', what: says })
    checkSame(plan, want, [eldest])
    return true
  }

  /** Whatever of this name costs money. */
  async #active(plan: JobPlan, signal: AbortSignal): Promise<SeenJob[]> {
    const jobs = await this.#jobs(plan, TUNING_LABEL, plan.name, signal)
    return jobs.filter(isActive)
  }

  async #current(plan: JobPlan, signal: AbortSignal): Promise<SeenJob | undefined> {
    return currentOf(await this.#jobs(plan, RUN_LABEL, plan.run, signal))
  }

  async #jobs(plan: JobPlan, label: string, value: string, signal: AbortSignal): Promise<SeenJob[]> {
    const request = { parent: parentOf(plan), filter: `labels.${label}="${value}"` }
    const found = await this.#ask(`list custom jobs of ${plan.spec.region}`, signal, (one) =>
      this.#options.jobs.listCustomJobs(request, one),
    )
    return found.map((one) => toSeen(toJson(one)))
  }

  async #cancel(want: Resource, { name }: SeenJob, signal: AbortSignal): Promise<void> {
    await this.#ask(`cancel ${want.kind} ${want.name}`, signal, (one) =>
      this.#options.jobs.cancelCustomJob({ name }, one),
    )
  }

  #ask<T>(
    what: string,
    signal: AbortSignal,
    run: (options: OneTry) => Promise<readonly [T, ...unknown[]]>,
  ): Promise<T> {
    return ask(what, run, { ...this.#options.asking, signal })
  }
}

/** @throws FacetError invalid_request, where another run of that name is under way, or this one on other terms */
function checkSame(plan: JobPlan, want: Resource, active: readonly SeenJob[]): void {
  const other = active.find(({ labels }) => labels[RUN_LABEL] !== plan.run)
  if (other) throw underWay(plan, `as ${other.labels[RUN_LABEL]}, with other data or settings`)
  const spec = ((want.body.customJob as JsonObject).labels as JsonObject)[SPEC_LABEL]
  if (active.some(({ labels }) => labels[SPEC_LABEL] !== spec))
    throw underWay(plan, 'on other machines or terms')
}

function underWay({ name, kind }: JobPlan, how: string): FacetError {
  const says = `${name} is under way ${how}; stop it with facet tune stop ${name}, then run facet tune ${kind} ${name} again.`
  return new FacetError('invalid_request', says, { field: `tunings.${name}` })
}
