/** Runs tunings as custom jobs of Vertex AI: found again by their labels, whoever looks. */
import type { v1 } from '@google-cloud/aiplatform'
import type { Down } from '../../../deploy/down.ts'
import type { SecretOf } from '../../../deploy/gke.ts'
import { type Asking, ask, type OneTry } from '../../../deploy/google/ask.ts'
import { toSignal } from '../../../deploy/google/refusal.ts'
import type { Rest } from '../../../deploy/google/rest.ts'
import type { JsonObject, LiveResource, Resource } from '../../../deploy/target.ts'
import { linesOf } from '../../../deploy/vertex/logs.ts'
import { lastOf, toJson } from '../../../deploy/vertex/wire.ts'
import { type Context, until } from '../../../deploy/waiting.ts'
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import type { RunFolder } from './bucket.ts'
import { classifyJob, type JobFinding } from './cause.ts'
import type { JobInputs, JobPlan, Observation, Runner, Started, StartOptions } from './job.ts'
import { parseMetrics, savedStep } from './metrics.ts'
import { parentOf, RUN_LABEL, SPEC_LABEL, TUNING_LABEL, wantVertexJob, withToken } from './vertex.ts'

export interface VertexRunnerOptions {
  readonly jobs: v1.JobServiceClient
  readonly rest: Rest
  readonly asking: Omit<Asking, 'signal'>
  readonly folderOf: (plan: JobPlan) => RunFolder
  readonly secretOf: SecretOf
}

/** As far as it is looked at. */
interface SeenJob {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: string
  readonly createTime: number
  readonly error: { readonly code: number; readonly message: string } | undefined
}

const ENDED: readonly string[] = [
  'JOB_STATE_SUCCEEDED',
  'JOB_STATE_PARTIALLY_SUCCEEDED',
  'JOB_STATE_FAILED',
  'JOB_STATE_CANCELLED',
  'JOB_STATE_EXPIRED',
]
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

  async start(plan: JobPlan, inputs: JobInputs, { signal }: StartOptions): Promise<Started> {
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
    const request = withToken(want.body, token)
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
    return { applied: [{ type: 'create', want }] }
  }

  async observe(plan: JobPlan, signal: AbortSignal): Promise<Observation | undefined> {
    const folder = this.#options.folderOf(plan)
    const job = await this.#newest(plan, signal)
    const done = (await folder.text('out/done.json', signal)) !== undefined
    if (!job && !done) return undefined
    const steps = parseMetrics((await folder.text('out/metrics.jsonl', signal)) ?? '')
    const files = await folder.list('out/attempts/1', signal)
    const [started, crashed] = [/^\d+\.json$/, /\.crash\.json$/].map(
      (pattern) => files.filter((name) => pattern.test(name)).length,
    ) as [number, number]
    const running = job?.state === 'JOB_STATE_RUNNING'
    const preemptions = Math.max(0, started - crashed - (running || done ? 1 : 0))
    const seen = { attempt: started, preemptions, steps }
    if (done || job?.state === 'JOB_STATE_SUCCEEDED') return { state: 'succeeded', ...seen }
    if (running) return { state: 'running', ...seen, attempt: Math.max(1, started) }
    if (!ENDED.includes(job!.state))
      return { state: started > 0 ? 'preempted' : 'waiting', ...seen, cause: waiting(job!) }
    const cause = causeOf(plan, job!, await this.logs(plan, signal), savedStep(steps))
    return { state: 'failed', ...seen, cause }
  }

  async logs(plan: JobPlan, signal: AbortSignal): Promise<string[]> {
    const job = await this.#newest(plan, signal)
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
    for (const { name } of active) {
      await this.#ask(`cancel ${want.kind} ${want.name}`, options.signal, (one) =>
        this.#options.jobs.cancelCustomJob({ name }, one),
      )
    }
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
    const other = active.find(({ labels }) => labels[RUN_LABEL] !== plan.run)
    if (other) throw underWay(plan, `as ${other.labels[RUN_LABEL]}, with other data or settings`)
    const spec = ((want.body.customJob as JsonObject).labels as JsonObject)[SPEC_LABEL]
    if (active.some(({ labels }) => labels[SPEC_LABEL] !== spec))
      throw underWay(plan, 'on other machines or terms')
    if (active.length > 0) return true
    return (await this.#options.folderOf(plan).text('out/done.json', signal)) !== undefined
  }

  /** Whatever of this name costs money. */
  async #active(plan: JobPlan, signal: AbortSignal): Promise<SeenJob[]> {
    const jobs = await this.#jobs(plan, TUNING_LABEL, plan.name, signal)
    return jobs.filter(({ state }) => !ENDED.includes(state))
  }

  async #newest(plan: JobPlan, signal: AbortSignal): Promise<SeenJob | undefined> {
    const jobs = await this.#jobs(plan, RUN_LABEL, plan.run, signal)
    return jobs.toSorted((a, b) => b.createTime - a.createTime)[0]
  }

  async #jobs(plan: JobPlan, label: string, value: string, signal: AbortSignal): Promise<SeenJob[]> {
    const request = { parent: parentOf(plan), filter: `labels.${label}="${value}"` }
    const found = await this.#ask(`list custom jobs of ${plan.spec.region}`, signal, (one) =>
      this.#options.jobs.listCustomJobs(request, one),
    )
    return found.map((one) => toSeen(toJson(one)))
  }

  #ask<T>(
    what: string,
    signal: AbortSignal,
    run: (options: OneTry) => Promise<readonly [T, ...unknown[]]>,
  ): Promise<T> {
    return ask(what, run, { ...this.#options.asking, signal })
  }
}

function toSeen({ name, labels, state, createTime, error }: JsonObject): SeenJob {
  const failed = isObject(error) ? { code: Number(error.code), message: String(error.message) } : undefined
  return {
    name: String(name),
    labels: (labels ?? {}) as Record<string, string>,
    state: String(state),
    createTime: isObject(createTime) ? Number(createTime.seconds) : 0,
    error: failed,
  }
}

function waiting({ state, error }: SeenJob): JobFinding {
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

function causeOf(
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

function underWay({ name, kind }: JobPlan, how: string): FacetError {
  const says = `${name} is under way ${how}; stop it with facet tune stop ${name}, then run facet tune ${kind} ${name} again.`
  return new FacetError('invalid_request', says, { field: `tunings.${name}` })
}
