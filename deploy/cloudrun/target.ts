/** Cloud Run as a place to deploy to: a service, the image it is made from, and what both need. */
import { isObject } from '../../src/check.ts'
import { FacetError } from '../../src/errors.ts'
import type { Endpoint } from '../../src/types.ts'
import type { Signal } from '../cause.ts'
import {
  type CloudRunContent,
  type CloudRunPlan,
  grant,
  MODEL_ANNOTATION,
  modelGrant,
  wantCloudRun,
} from '../cloudrun.ts'
import { contentHash } from '../content-hash.ts'
import { fingerprint } from '../environment.ts'
import type { SecretOf } from '../gke.ts'
import type { SignIn } from '../google/ask.ts'
import type { Rest } from '../google/rest.ts'
import { notUp } from '../not-up.ts'
import type { Action, JsonObject, LiveResource, Resource, Target } from '../target.ts'
import type { Clock } from '../waiting.ts'
import { Accounts } from './accounts.ts'
import type { BuildContext } from './context.ts'
import { Grants, restPolicies } from './grants.ts'
import { type ImageOptions, Images } from './images.ts'
import { logLines, withLog } from './log.ts'
import { type RunNames, runNames } from './names.ts'
import { listAt, type Part, textAt } from './part.ts'
import { Secrets } from './secrets.ts'
import { type ServiceOptions, Services } from './services.ts'
import { Bucket, modelVersion, Registry } from './storage.ts'

export interface CloudRunClients {
  readonly rest: Rest
  readonly services: ServiceOptions['services']
  readonly revisions: ServiceOptions['revisions']
  readonly builds: ImageOptions['builds']
  readonly signIn: SignIn
}

export interface CloudRunOptions {
  readonly secretOf: SecretOf
  /** Reads what the image is built from. */
  readonly context: () => Promise<BuildContext>
  /** Checks keys before they are sent. @throws FacetError with the entry at fault */
  readonly checkKeys: (text: string, variable: string) => Promise<unknown>
  readonly clock?: Clock
  /** Of one try of a call. */
  readonly callMs?: number
  /** Of a canary: it gets no requests by being deployed, and what the stable version needs is let be. */
  readonly beside?: boolean
}

export class CloudRunTarget implements Target<CloudRunPlan> {
  readonly name = 'cloudrun'
  /** Some megabytes go up. */
  readonly slowMs: number = 10 * 60_000
  readonly #plan: CloudRunPlan
  readonly #options: CloudRunOptions
  readonly #rest: Rest
  readonly #names: RunNames
  readonly services: Services
  readonly #images: Images
  readonly #parts: readonly Part[]
  readonly #grants: Grants
  #content: CloudRunContent = {}
  #context: BuildContext | undefined
  /** Where the live service has its model from: roles on an earlier bucket are no longer wanted. */
  #mounted: readonly string[] = []

  constructor(plan: CloudRunPlan, clients: CloudRunClients, options: CloudRunOptions) {
    const { rest, signIn, services, revisions, builds } = clients
    const { clock, callMs, secretOf } = options
    const names = runNames(plan)
    const asking = (signal: AbortSignal): ReturnType<ServiceOptions['asking']> => ({
      signIn,
      signal,
      ...(clock && { clock }),
      ...(callMs !== undefined && { callMs }),
    })
    this.#plan = plan
    this.#options = options
    this.#rest = rest
    this.#names = names
    this.services = new Services({ names, services, revisions, asking, beside: options.beside ?? false })
    const bucket = new Bucket(rest, names)
    const registry = new Registry(rest, names)
    const context = (): BuildContext | undefined => this.#context
    this.#images = new Images({
      names,
      builds,
      bucket,
      registry,
      asking,
      context,
      ...(plan.spec.modelIn === 'image' && { model: plan.spec.modelDirectory }),
    })
    this.#grants = new Grants({
      owner: names.owner,
      known: () => this.#knownGrants(),
      storeOf: (on) => (on.startsWith('//run.') ? this.services.policies : restPolicies(rest, on)),
      ...(clock && { clock }),
    })
    const secrets = new Secrets(rest, names, () => secretOf(plan.spec.keysEnv!))
    this.#parts = [new Accounts(rest, names), secrets, bucket, registry, this.#images, this.services]
  }

  async prepare({ spec }: CloudRunPlan, signal: AbortSignal): Promise<void> {
    const { secretOf, checkKeys, context } = this.#options
    const text = spec.keysEnv === undefined ? undefined : secretOf(spec.keysEnv)
    if (text !== undefined) await checkKeys(text, spec.keysEnv!)
    this.#context = spec.image === undefined ? await context() : undefined
    this.#content = {
      ...(this.#context && { source: await this.#sourceOf(this.#context, signal) }),
      ...(text !== undefined && { keys: fingerprint(text) }),
    }
  }

  /** Of everything that goes into the image. */
  async #sourceOf({ hash }: BuildContext, signal: AbortSignal): Promise<string> {
    if (this.#plan.spec.modelIn !== 'image') return hash
    const version = await modelVersion(this.#rest, this.#names, signal)
    return `${hash}-${contentHash([this.#plan.spec.modelDirectory, version])}`
  }

  want(plan: CloudRunPlan): Resource[] {
    const want = wantCloudRun(plan, this.#content)
    return this.#options.beside ? want.map(withoutTraffic) : want
  }

  async read(plan: CloudRunPlan, signal: AbortSignal): Promise<LiveResource[]> {
    const found = (await Promise.all(this.#parts.map((part) => part.read(signal)))).flat()
    const service = found.find(({ id }) => id === this.#names.service)
    this.#mounted = bucketsOf(service)
    const foreign = new Set(found.flatMap(({ id, owner }) => (owner === plan.name ? [] : [id])))
    const grants = (await this.#grants.read(signal)).filter(({ body }) => !isOn(textAt(body, 'on'), foreign))
    // Images are whose registry they lie in.
    const owners = new Map(found.map(({ id, owner }) => [id, owner]))
    const registry = owners.get(this.#names.repository)
    const wanted = new Map(this.want(plan).map((one) => [one.id, one]))
    const live = [...found, ...grants].map((one) => ({
      ...one,
      ...(one.kind === this.#images.kind && owners.has(this.#names.repository) && { owner: registry }),
      after: this.#needs(one, wanted.get(one.id), found),
    }))
    return this.#options.beside ? live.filter(({ id }) => wanted.has(id)) : live
  }

  async apply(action: Action, signal: AbortSignal): Promise<void> {
    const { kind } = action.type === 'delete' ? action.live : action.want
    const part = [...this.#parts, this.#grants].find((one) => one.kind === kind)
    if (!part) throw new FacetError('internal', `Nothing is known of a ${kind}.`)
    await part.apply(action, signal)
  }

  async observe({ name }: CloudRunPlan, signal: AbortSignal): Promise<Signal[]> {
    const service = await this.services.observe(signal)
    if (!service) {
      const image = await this.#images.observe(signal)
      if (image.length === 0) throw notUp(name)
      return image
    }
    if (service.some(({ type }) => type === 'answers' || type === 'progress')) return service
    return withLog(service, await logLines(this.#rest, this.#names, signal))
  }

  /** Of the service; of its build, as long as there is none. */
  async logs(_: CloudRunPlan, signal: AbortSignal): Promise<string[]> {
    const lines = await logLines(this.#rest, this.#names, signal)
    return lines.length > 0 ? lines : this.#images.logs(signal)
  }

  endpoint(live: readonly LiveResource[]): Endpoint | undefined {
    const { name, spec, model } = this.#plan
    const found = live.find(({ id, owner }) => id === this.#names.service && owner === name)
    const uri = textAt(found?.body.service, 'uri')
    if (uri === '') return undefined
    return {
      baseURL: `${uri}/v1`,
      ...(model && { model: model.id }),
      ...(spec.public ? {} : { signIn: 'google-id-token' as const }),
      ...(spec.keysEnv !== undefined && { keysEnv: spec.keysEnv }),
    }
  }

  /** Those that are wanted, and those that an earlier plan may have wanted. */
  #knownGrants(): Resource[] {
    const { service, account, builder, modelBucket } = this.#names
    const wanted = this.want(this.#plan).filter(({ kind }) => kind === this.#grants.kind)
    const earlier = [
      grant(`//run.googleapis.com/${service}`, 'roles/run.invoker', 'allUsers', [service]),
      ...[...new Set([...this.#mounted, modelBucket])].flatMap((bucket) =>
        [account, builder].map((address) => modelGrant(bucket, address, [])),
      ),
    ]
    return [...new Map([...earlier, ...wanted].map((one) => [one.id, one])).values()]
  }

  /** The service goes before every image, and each of them before the registry it lies in. */
  #needs(one: LiveResource, wanted: Resource | undefined, live: readonly LiveResource[]): readonly string[] {
    const after = wanted?.after ?? one.after ?? []
    if (one.kind === this.#images.kind) return [this.#names.repository, `gs://${this.#names.bucket}`]
    if (one.id !== this.#names.service) return after
    return [...after, ...live.flatMap(({ kind, id }) => (kind === this.#images.kind ? [id] : []))]
  }
}

/** How a canary shares requests is not its target's. */
function withoutTraffic({ body, ...resource }: Resource): Resource {
  if (!isObject(body.service)) return { ...resource, body }
  const { traffic: _, ...service } = body.service
  return { ...resource, body: { ...body, service: service as JsonObject } }
}

function bucketsOf(service: LiveResource | undefined): readonly string[] {
  const template = (service?.body.service as { readonly template?: unknown } | undefined)?.template
  const { annotations } = (template ?? {}) as { readonly annotations?: unknown }
  const [copied = ''] = textAt(annotations, MODEL_ANNOTATION)
    .replace(/^gs:\/\//, '')
    .split('/')
  return [...listAt(template, 'volumes').map(({ gcs }) => textAt(gcs, 'bucket')), copied].filter(
    (bucket) => bucket !== '',
  )
}

/** @param on full name of a resource; @param ids of resources */
function isOn(on: string, ids: ReadonlySet<string>): boolean {
  const name = on.replace(/^\/\/\w+\.googleapis\.com\//, '')
  return ids.has(name) || ids.has(`gs://${name}`)
}
