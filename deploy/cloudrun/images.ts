/** Images: built by Cloud Build from the package's own files, and found again in the registry by their tag. */
import type { CloudBuildClient } from '@google-cloud/cloudbuild'
import { FacetError } from '../../src/errors.ts'
import type { Signal } from '../cause.ts'
import { type Asking, ask } from '../google/ask.ts'
import type { Action, LiveResource } from '../target.ts'
import type { BuildContext } from './context.ts'
import type { RunNames } from './names.ts'
import { listAt, type Part, textAt, toJsonObject } from './part.ts'
import type { Bucket, Registry } from './storage.ts'

export interface ImageOptions {
  readonly names: RunNames
  readonly builds: CloudBuildClient
  readonly bucket: Bucket
  readonly registry: Registry
  /** Of a call of Google's libraries. */
  readonly asking: (signal: AbortSignal) => Asking
  /** What is built; undefined where nothing is going to be. */
  readonly context: () => BuildContext | undefined
  /** The model directory that is copied into the image, `gs://…`; undefined: it is mounted. */
  readonly model?: string
}

/** As Cloud Build tells of one. */
interface Build {
  readonly id: string
  readonly image: string
  readonly status: string
  readonly says: string
}

const RUNNING = ['PENDING', 'QUEUED', 'WORKING']
const FAILED = ['FAILURE', 'INTERNAL_ERROR', 'TIMEOUT', 'CANCELLED', 'EXPIRED']
const DOCKER = 'gcr.io/cloud-builders/docker'
const GSUTIL = 'gcr.io/cloud-builders/gsutil'
const LIMIT_SECONDS = 20 * 60
/** The latest come first. */
const LOOKED_AT = 10
const LOG_LINES = 40

export class Images implements Part {
  readonly kind = 'Image'
  readonly #options: ImageOptions
  /** Builds that this process has seen running: if one fails, nobody waits for its image any more. */
  readonly #seen = new Set<string>()

  constructor(options: ImageOptions) {
    this.#options = options
  }

  async read(signal: AbortSignal): Promise<LiveResource[]> {
    const { names, registry } = this.#options
    const [images, builds] = await Promise.all([registry.images(signal), this.#builds(signal)])
    const made = images.map(({ tag, version }) => this.#toLive(`${names.image}:${tag}`, { version }))
    const there = new Set(made.map(({ id }) => id))
    // Of several builds of one image the latest counts.
    const latest = new Map(builds.toReversed().map((build) => [build.image, build]))
    const making = [...latest.values()].filter(({ image }) => !there.has(image))
    return [...made, ...making.flatMap((build) => this.#beingMade(build) ?? [])]
  }

  async apply(action: Action, signal: AbortSignal): Promise<void> {
    if (action.type === 'delete') return this.#remove(action.live, signal)
    const { names, builds, asking } = this.#options
    const image = action.want.id
    const what = `build image ${action.want.name}`
    // Somebody else's, or ours of a run that was broken off.
    if (await this.#running(image, signal)) return
    const source = await this.#upload(signal)
    const request = {
      projectId: names.project,
      build: {
        source: { storageSource: { bucket: names.bucket, object: source } },
        steps: toSteps(image, this.#options.model),
        images: [image],
        tags: [tagOf(names)],
        serviceAccount: `projects/${names.project}/serviceAccounts/${names.builder}`,
        logsBucket: `gs://${names.bucket}/logs`,
        options: { logging: 'GCS_ONLY' as const },
        timeout: { seconds: LIMIT_SECONDS },
      },
    }
    const start = async (again: boolean, options: object): Promise<readonly [unknown, ...unknown[]]> =>
      again && (await this.#running(image, signal)) ? [undefined] : builds.createBuild(request, options)
    await ask(what, (options, again) => start(again, options), asking(signal))
    for (const { id, image: other } of await this.#builds(signal)) if (other === image) this.#seen.add(id)
  }

  /** How far the latest build is; why there is no image, where it has failed, and what it has written. */
  async observe(signal: AbortSignal): Promise<Signal[]> {
    const [latest] = await this.#builds(signal)
    if (latest && RUNNING.includes(latest.status))
      return [{ type: 'progress', source: latest.image, message: latest.says }]
    if (!latest || !FAILED.includes(latest.status)) return []
    return [toSignal(latest), { type: 'log', source: 'Cloud Build', lines: await this.logs(signal) }]
  }

  /** The last lines of the latest build. */
  async logs(signal: AbortSignal): Promise<string[]> {
    const [latest] = await this.#builds(signal)
    const text = latest && (await this.#options.bucket.text(`logs/log-${latest.id}.txt`, signal))
    return text === undefined ? [] : text.trimEnd().split('\n').slice(-LOG_LINES)
  }

  #toLive(id: string, own: Partial<LiveResource>): LiveResource {
    const { names } = this.#options
    const name = id.slice(id.lastIndexOf('/') + 1)
    return { id, kind: this.kind, name, owner: names.owner, body: { image: id }, billable: true, ...own }
  }

  #beingMade(build: Build): LiveResource | undefined {
    if (RUNNING.includes(build.status)) {
      this.#seen.add(build.id)
      return this.#toLive(build.image, { ready: false, progress: build.says })
    }
    if (!FAILED.includes(build.status) || !this.#seen.has(build.id)) return undefined
    return this.#toLive(build.image, { ready: false, failed: [toSignal(build)] })
  }

  async #remove({ id, version }: LiveResource, signal: AbortSignal): Promise<void> {
    const { builds, asking, registry, names } = this.#options
    for (const build of await this.#builds(signal)) {
      if (build.image !== id || !RUNNING.includes(build.status)) continue
      const request = { projectId: names.project, id: build.id }
      await ask('cancel the build', (options) => builds.cancelBuild(request, options), asking(signal))
      this.#seen.delete(build.id)
    }
    if (version !== undefined) await registry.removeImage(version, signal)
  }

  async #upload(signal: AbortSignal): Promise<string> {
    const { context, bucket } = this.#options
    const found = context()
    if (!found) throw new FacetError('internal', 'An image was to be built that nothing is known of.')
    const object = `source/${found.hash}.tar.gz`
    await bucket.upload(object, 'application/gzip', () => found.pack(), signal)
    return object
  }

  async #running(image: string, signal: AbortSignal): Promise<boolean> {
    const builds = await this.#builds(signal)
    return builds.some((build) => build.image === image && RUNNING.includes(build.status))
  }

  async #builds(signal: AbortSignal): Promise<Build[]> {
    const { builds, asking, names } = this.#options
    const request = { projectId: names.project, filter: `tags="${tagOf(names)}"`, pageSize: LOOKED_AT }
    const found = await ask(
      'read builds',
      (options) => builds.listBuilds(request, { ...options, autoPaginate: false }),
      asking(signal),
    )
    return found.map((one) => toBuild(toJsonObject(one)))
  }
}

/** BuildKit leaves out the stages of deploy/Dockerfile that the target does not need. */
function toSteps(image: string, model: string | undefined): object[] {
  const docker = (...target: string[]): object => ({
    id: 'build',
    name: DOCKER,
    args: ['build', '--tag', image, ...target, '.'],
    env: ['DOCKER_BUILDKIT=1'],
  })
  if (model === undefined) return [docker()]
  const copy = ['-m', 'rsync', '-r', model.replace(/\/+$/, ''), 'model']
  // rsync wants the folder to be there.
  const folder = { id: 'folder', name: GSUTIL, entrypoint: 'mkdir', args: ['-p', 'model'] }
  return [folder, { id: 'model', name: GSUTIL, args: copy }, docker('--target', 'with-model')]
}

function tagOf({ owner }: RunNames): string {
  return `gemfacet-${owner}`
}

function toBuild(json: object): Build {
  const status = textAt(json, 'status')
  const steps = listAt(json, 'steps')
  const done = steps.filter((step) => step.status === 'SUCCESS').length
  const { failureInfo } = json as { readonly failureInfo?: unknown }
  const detail = [textAt(failureInfo, 'detail'), textAt(json, 'statusDetail')].find((text) => text !== '')
  const says = RUNNING.includes(status)
    ? `Cloud Build: ${status === 'WORKING' ? `step ${done + 1} of ${steps.length}` : 'in the queue'}.`
    : (detail ?? status)
  const images = (json as { readonly images?: readonly string[] }).images ?? []
  return { id: textAt(json, 'id'), image: images[0] ?? '', status, says }
}

function toSignal({ id, status, says }: Build): Signal {
  return { type: 'condition', source: `Build ${id}`, reason: `BUILD_${status}`, message: says }
}
