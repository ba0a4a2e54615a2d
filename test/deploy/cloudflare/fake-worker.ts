/** One Worker on a fake of Cloudflare: its versions, its deployments, and the requests that each version answers. */
import { randomUUID } from 'node:crypto'
import { Miniflare } from 'miniflare'
import { CloudflareRefusal } from './refusal.ts'

interface FakeBinding {
  readonly type: string
  readonly name: string
  readonly text?: string
  readonly bucket_name?: string
}

export interface Metadata {
  readonly main_module: string
  readonly compatibility_date: string
  readonly bindings: readonly FakeBinding[]
  readonly limits?: object
  readonly observability?: object
}

export type Modules = ReadonlyMap<string, { readonly type: string; readonly bytes: Buffer }>
export type Buckets = ReadonlyMap<string, ReadonlyMap<string, Buffer>>
/** What Workers Logs keep of something, by dotted keys. */
export type Logged = Readonly<Record<string, string | number>>

interface Version {
  readonly id: string
  readonly number: number
  readonly metadata: Metadata
  readonly modules: Modules
  readonly secrets: ReadonlyMap<string, string>
  running?: Miniflare
}

export interface Share {
  readonly version_id: string
  readonly percentage: number
}

export interface Deployment {
  readonly id: string
  readonly source: string
  readonly versions: readonly Share[]
  readonly annotations: Readonly<Record<string, string>>
}

export interface Behaviour {
  /** Whether Cloudflare ends the version for want of memory. */
  fails: (version: string) => boolean
  /** Instead of what was uploaded, which workerd runs. @param log as console.log */
  program: ((version: string, request: Request, log: (line: object) => void) => Response) | undefined
}

/** R2 as workerd has it. */
interface LocalBucket {
  put(key: string, bytes: Uint8Array): Promise<unknown>
}

export class FakeWorker {
  readonly versions: Version[] = []
  /** The newest first. */
  deployments: readonly Deployment[] = []
  subdomain = false
  observability: object = {}
  readonly logged: Logged[] = []
  readonly #name: string
  readonly #assets: string
  #asked = 0

  /** @param assets folder */
  constructor(name: string, assets: string) {
    this.#name = name
    this.#assets = assets
  }

  get latest(): Version | undefined {
    return this.versions.at(-1)
  }

  get shares(): readonly Share[] {
    return this.deployments[0]?.versions ?? []
  }

  /** Has most of the requests. */
  get serving(): Version {
    const [most] = [...this.shares].sort((one, other) => other.percentage - one.percentage)
    return this.version(most!.version_id)
  }

  version(id: string): Version {
    const found = this.versions.find((one) => one.id === id)
    if (!found) throw new CloudflareRefusal(404, 'This version does not exist.')
    return found
  }

  /** Inherits the secrets of the latest. */
  upload(
    metadata: Metadata,
    modules: Modules,
    secrets: Version['secrets'] = this.latest?.secrets ?? new Map(),
  ): Version {
    const version = { id: randomUUID(), number: this.versions.length + 1, metadata, modules, secrets }
    this.versions.push(version)
    return version
  }

  deploy(versions: readonly Share[], annotations: Readonly<Record<string, string>> = {}): Deployment {
    for (const { version_id: id } of versions) this.version(id)
    const total = versions.reduce((sum, { percentage }) => sum + percentage, 0)
    if (total !== 100 || versions.length > 2)
      throw new CloudflareRefusal(400, 'Percentages of at most two versions must sum to 100.')
    const kept = Object.entries(annotations).map(([name, text]) => [name, text.slice(0, 100)])
    const deployment = {
      id: randomUUID(),
      source: 'wrangler',
      versions,
      annotations: Object.fromEntries(kept) as Record<string, string>,
    }
    this.deployments = [deployment, ...this.deployments]
    return deployment
  }

  /** A version of its own, which serves at once. */
  setSecret(name: string, value: string | undefined): void {
    const { latest, shares } = this
    if (!latest || shares.length !== 1 || shares[0]!.version_id !== latest.id)
      throw new CloudflareRefusal(400, "The latest version of your Worker isn't currently deployed.")
    const secrets = new Map(latest.secrets)
    if (value === undefined) secrets.delete(name)
    else secrets.set(name, value)
    const { id } = this.upload(latest.metadata, latest.modules, secrets)
    this.deploy([{ version_id: id, percentage: 100 }])
  }

  /** @param buckets of R2 */
  async fetch(request: Request, buckets: Buckets, { fails, program }: Behaviour): Promise<Response> {
    const version = this.#choose(request.headers.get('cloudflare-workers-version-overrides'))
    const seen = {
      '$metadata.service': this.#name,
      '$metadata.type': 'cf-worker-event',
      '$workers.scriptVersion.id': version.id,
      '$workers.event.request.method': request.method,
    }
    if (fails(version.id)) {
      this.logged.push({ ...seen, '$workers.outcome': 'exceededMemory' })
      return new Response('error code: 1102', { status: 503 })
    }
    const log = (line: object): void => this.#log(version.id, JSON.stringify(line))
    const response = program ? program(version.id, request, log) : await this.#ask(version, request, buckets)
    const { status } = response
    this.logged.push({ ...seen, '$workers.outcome': 'ok', '$workers.event.response.status': status })
    return response
  }

  async #ask(version: Version, request: Request, buckets: Buckets): Promise<Response> {
    version.running ??= await this.#start(version, buckets)
    const { origin } = await version.running.ready
    const url = new URL(request.url)
    return fetch(new URL(url.pathname + url.search, origin), {
      method: request.method,
      headers: request.headers,
      body: request.body === null ? null : await request.arrayBuffer(),
      signal: request.signal,
    })
  }

  async close(): Promise<void> {
    for (const { running } of this.versions) await running?.dispose()
  }

  /** As many of each hundred as its share says, in turn. */
  #choose(override: string | null): Version {
    const asked = override?.match(/^([\w-]+)="([\w-]+)"$/)
    const named = asked?.[1] === this.#name && this.shares.find(({ version_id: id }) => id === asked[2])
    if (named) return this.version(named.version_id)
    const place = (this.#asked++ * 37) % 100
    let sum = 0
    const found = this.shares.find(({ percentage }) => {
      sum += percentage
      return place < sum
    })
    return this.version(found!.version_id)
  }

  async #start({ id, metadata, modules, secrets }: Version, buckets: Buckets): Promise<Miniflare> {
    const contents = [...modules].map(([name, { bytes }]) => {
      const type: 'esm' | 'wasm' = name.endsWith('.wasm') ? 'wasm' : 'esm'
      return [name, { type, contents: new Uint8Array(bytes) }] as const
    })
    const texts = metadata.bindings.flatMap(({ type, name, text }) =>
      type === 'plain_text' ? [[name, { type: 'text' as const, value: text! }] as const] : [],
    )
    const hidden = [...secrets].map(([name, value]) => [name, { type: 'text' as const, value }] as const)
    const assets = metadata.bindings.some(({ type }) => type === 'assets')
    const bound = metadata.bindings.filter(({ type }) => type === 'r2_bucket')
    const r2 = bound.map(({ name }) => [name, { type: 'r2' as const, name }] as const)
    const running = new Miniflare({
      port: 0,
      telemetry: { enabled: false },
      handleStructuredLogs: ({ message }) => this.#log(id, message),
      workers: [
        {
          config: {
            name: 'facet',
            compatibilityDate: metadata.compatibility_date,
            manifest: { mainModule: metadata.main_module, modules: Object.fromEntries(contents) },
            env: {
              ...Object.fromEntries([...texts, ...hidden, ...r2]),
              ...(assets && { ASSETS: { type: 'assets' } }),
            },
            ...(assets && {
              assets: { directory: this.#assets, runWorkerFirst: true, hasUserWorker: true },
            }),
          },
        },
      ],
    })
    for (const { name, bucket_name } of bound) {
      const local = (await running.getR2Bucket(name)) as unknown as LocalBucket
      for (const [key, bytes] of buckets.get(bucket_name!) ?? []) await local.put(key, new Uint8Array(bytes))
    }
    return running
  }

  /** Fields of a line of JSON are keys of their own, as Workers Logs have them. */
  #log(version: string, message: string): void {
    const fields = message.startsWith('{') ? Object.entries(JSON.parse(message) as object) : []
    const plain = fields.filter(([, value]) => ['string', 'number'].includes(typeof value))
    this.logged.push({
      ...Object.fromEntries(plain),
      '$metadata.service': this.#name,
      '$metadata.type': 'cf-worker',
      '$metadata.message': message,
      '$workers.scriptVersion.id': version,
    })
  }
}
