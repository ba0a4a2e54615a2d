/** Cloudflare Workers as a place to deploy to: one Worker, its secrets, and a bucket for a large model. */
import { isObject } from '../../src/check.ts'
import { FacetError } from '../../src/errors.ts'
import type { Endpoint } from '../../src/types.ts'
import type { Signal } from '../cause.ts'
import { firstKey } from '../first-key.ts'
import { notUp } from '../not-up.ts'
import type { Action, LiveResource, Resource, Target } from '../target.ts'
import {
  BUCKET_KIND,
  FILES_KIND,
  OWNER_VARIABLE,
  SECRET_KIND,
  WORKER_KIND,
  type WorkersPlan,
  wantWorkers,
  workerIn,
} from '../workers.ts'
import type { Cloudflare } from './api.ts'
import { ModelBucket } from './bucket.ts'
import { type BuildOptions, WorkerBuild } from './build.ts'
import { listOf, messageIn, toConfig } from './live.ts'
import { WorkerTelemetry } from './telemetry.ts'
import { type Deployed, sharingOf, WorkerVersions } from './versions.ts'

export interface WorkersOptions extends Omit<BuildOptions, 'cloudflare'> {
  readonly cloudflare: Cloudflare
  readonly fetch?: typeof globalThis.fetch
  /** What is wanted becomes a version beside the one that serves, and is given no requests. */
  readonly beside?: boolean
}

const LOOK_MS = 10_000
/** Sends a request to one version, whatever its share. */
const VERSION_HEADER = 'cloudflare-workers-version-overrides'

/** Fields of a Worker that all its versions share. */
export const isShared = (field: string): boolean => /^(?:routes|workers_dev|observability)\b/.test(field)

export class WorkersTarget implements Target<WorkersPlan> {
  readonly name = 'workers'
  /** It bundles, and its assets go up. */
  readonly slowMs: number = 10 * 60_000
  readonly versions: WorkerVersions
  readonly telemetry: WorkerTelemetry
  readonly #plan: WorkersPlan
  readonly #options: WorkersOptions
  readonly #worker: string
  readonly #build: WorkerBuild
  readonly #bucket: ModelBucket
  #subdomain: string | undefined

  constructor(plan: WorkersPlan, options: WorkersOptions) {
    const { cloudflare } = options
    this.#plan = plan
    this.#options = options
    this.#worker = `facet-${plan.name}`
    this.versions = new WorkerVersions(cloudflare, this.#worker)
    this.telemetry = new WorkerTelemetry(cloudflare, this.#worker)
    this.#build = new WorkerBuild(plan, { ...options, cloudflare: cloudflare.options })
    this.#bucket = new ModelBucket(cloudflare, plan.name)
  }

  get #script(): string {
    return `/workers/scripts/${this.#worker}`
  }

  prepare(_: WorkersPlan, signal: AbortSignal): Promise<void> {
    return this.#build.prepare(signal)
  }

  want(plan: WorkersPlan): Resource[] {
    return wantWorkers(plan, this.#build.content)
  }

  async read(plan: WorkersPlan, signal: AbortSignal): Promise<LiveResource[]> {
    const isModel = plan.spec.mode === 'model'
    const wantsBucket = this.#build.content.bucket !== undefined
    const model = isModel ? await this.#bucket.read(wantsBucket, signal) : []
    const live = [...model, ...(await this.#readWorker(plan, model, signal))]
    if (!this.#options.beside) return live
    const wanted = new Set(this.want(plan).map(({ id }) => id))
    return live.filter(({ id }) => wanted.has(id))
  }

  async #readWorker(
    plan: WorkersPlan,
    model: readonly LiveResource[],
    signal: AbortSignal,
  ): Promise<LiveResource[]> {
    const script = await this.#ask('read the Worker', `${this.#script}/settings`, signal)
    if (!isObject(script)) return []
    const [version, secrets, subdomain, domains] = await Promise.all([
      this.#readVersion(signal),
      this.#ask('read secrets', `${this.#script}/secrets`, signal),
      this.#ask('read the address', `${this.#script}/subdomain`, signal),
      this.#ask('read domains', `/workers/domains?service=${this.#worker}`, signal),
      this.#findSubdomain(signal),
    ])
    const wanted = workerIn(this.want(plan))
    const live = toConfig({ ...script, ...version.settings }, wanted.body, subdomain, domains)
    const { [OWNER_VARIABLE]: owner } = isObject(live.vars) ? live.vars : {}
    const own = { owner: typeof owner === 'string' ? owner : undefined }
    const { id } = wanted
    const names = listOf(secrets)
      .map(({ name }) => String(name))
      .filter((name) => /_[0-9a-f]{8}$/.test(name))
    const idOf = (name: string): string => `${id}/secrets/${name}`
    // They go with the Worker, which must go first: alone they can go only while its latest version serves.
    const after = [...model.map((one) => one.id), ...names.map(idOf)]
    return [
      {
        id,
        kind: WORKER_KIND,
        name: this.#worker,
        body: live,
        billable: true,
        after,
        version: version.deployment,
        ...own,
      },
      ...names.map((name) => ({ id: idOf(name), kind: SECRET_KIND, name, body: { name }, ...own })),
    ]
  }

  /** Of the version that serves, or stands beside it: the Worker's own settings are those of its latest. */
  async #readVersion(
    signal: AbortSignal,
  ): Promise<{ readonly deployment: string; readonly settings: Readonly<Record<string, unknown>> }> {
    const deployed = await this.versions.deployed(signal)
    if (!deployed) return { deployment: '', settings: {} }
    const { canary, stable } = sharingOf(deployed)
    const version = (this.#options.beside && canary) || stable
    const settings = await this.versions.settings(version, signal)
    // Requests that somebody shares out by hand are answered by more than what is wanted.
    const mixed = canary === undefined && Object.keys(deployed.shares).length > 1
    const bindings = listOf(settings.bindings).filter(({ name }) => !mixed || name === OWNER_VARIABLE)
    return { deployment: deployed.id, settings: { ...settings, bindings } }
  }

  async apply(action: Action, signal: AbortSignal): Promise<void> {
    const { kind, name, body } = action.type === 'delete' ? action.live : action.want
    const what = `${action.type} ${kind} ${name}`
    if (kind === BUCKET_KIND || kind === FILES_KIND)
      return this.#bucket.apply(action, this.#build.model, signal)
    if (kind === SECRET_KIND) {
      const path = `${this.#script}/secrets/${name}`
      if (action.type === 'delete') await this.#ask(what, path, signal, 'DELETE')
      else await this.#build.putSecret(name, signal)
      return
    }
    if (action.type === 'delete') {
      await this.#ask(what, `${this.#script}?force=true`, signal, 'DELETE')
      return
    }
    if (action.type === 'create' || action.fields.some(isShared)) {
      await this.#unchanged(action, signal)
      return this.#build.deploy(body, signal)
    }
    // It serves nobody while it is sent, which takes seconds; what is checked then is one request old.
    const version = await this.#build.upload(body, signal)
    const deployed = await this.#unchanged(action, signal)
    if (!deployed || !this.#options.beside) return this.versions.share({ [version]: 100 }, '', signal)
    const { stable } = sharingOf(deployed)
    await this.versions.share({ [stable]: 100, [version]: 0 }, deployed.message, signal)
  }

  /** Asks for its models, as a caller would. */
  async observe(plan: WorkersPlan, signal: AbortSignal): Promise<Signal[]> {
    const source = `Worker ${this.#worker}`
    const endpoint = this.endpoint(await this.read(plan, signal))
    if (!endpoint) throw notUp(plan.name)
    const { fetch = globalThis.fetch } = this.#options
    const late = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)])
    const headers = { ...this.#signIn(), ...(this.#options.beside && (await this.#toCanary(signal))) }
    try {
      const response = await fetch(`${endpoint.baseURL}/models`, { headers, signal: late })
      const text = await response.text()
      if (response.ok) return [{ type: 'answers', source }]
      return [{ type: 'condition', source, reason: `ANSWERED_${response.status}`, message: messageIn(text) }]
    } catch (error) {
      if (signal.aborted) throw error
      // A new address takes some seconds to be known.
      return [{ type: 'condition', source, reason: 'UNREACHABLE', message: 'It does not answer yet.' }]
    }
  }

  logs(_: WorkersPlan, signal: AbortSignal): Promise<string[]> {
    return this.telemetry.lines(signal)
  }

  endpoint(live: readonly LiveResource[]): Endpoint | undefined {
    const { name, spec } = this.#plan
    if (!live.some(({ kind, owner }) => kind === WORKER_KIND && owner === name)) return undefined
    const host =
      spec.domain ??
      (this.#subdomain === undefined ? undefined : `${this.#worker}.${this.#subdomain}.workers.dev`)
    if (host === undefined) return undefined
    return { baseURL: `https://${host}/v1`, ...(spec.keysEnv !== undefined && { keysEnv: spec.keysEnv }) }
  }

  #signIn(): Readonly<Record<string, string>> {
    const { keysEnv } = this.#plan.spec
    if (keysEnv === undefined) return {}
    return { authorization: `Bearer ${firstKey(this.#options.secretOf(keysEnv))}` }
  }

  async #toCanary(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const deployed = await this.versions.deployed(signal)
    const { canary } = deployed ? sharingOf(deployed) : {}
    return canary === undefined ? {} : { [VERSION_HEADER]: `${this.#worker}="${canary}"` }
  }

  /** Cloudflare changes whatever is there: what another run has deployed since it was read is not written over. */
  async #unchanged(action: Action, signal: AbortSignal): Promise<Deployed | undefined> {
    const deployed = await this.versions.deployed(signal)
    const before = action.type === 'update' ? action.live.version : ''
    if ((deployed?.id ?? '') === before) return deployed
    throw new FacetError(
      'unavailable',
      `CONFLICT: Worker ${this.#worker} was ${action.type === 'create' ? 'made' : 'deployed'} by somebody else meanwhile; run facet up again, which compares with that.`,
    )
  }

  async #findSubdomain(signal: AbortSignal): Promise<void> {
    const found = await this.#ask('read the subdomain', '/workers/subdomain', signal)
    if (isObject(found) && typeof found.subdomain === 'string') this.#subdomain = found.subdomain
  }

  #ask(what: string, path: string, signal: AbortSignal, method = 'GET'): Promise<unknown> {
    return this.#options.cloudflare.call(what, path, signal, { method })
  }
}
