/** What is made of a plan on this machine, and sent by wrangler: the program, its versions, its secrets. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isObject } from '../../src/check.ts'
import { FacetError } from '../../src/errors.ts'
import { fingerprint } from '../environment.ts'
import type { SecretOf } from '../gke.ts'
import type { JsonObject } from '../target.ts'
import { KEYS, secretName, type WorkersContent, type WorkersPlan, wantWorkers, workerIn } from '../workers.ts'
import type { CloudflareOptions } from './api.ts'
import {
  measure,
  readModel,
  type WorkerModel,
  type WorkerSource,
  writeConfig,
  writeWorker,
} from './bundle.ts'
import { wrangler } from './wrangler.ts'

export interface BuildOptions {
  readonly cloudflare: Pick<CloudflareOptions, 'account' | 'token' | 'baseURL'>
  /** Of facet.config.ts. */
  readonly folder: string
  /** Of Facet. */
  readonly root: string
  readonly secretOf: SecretOf
  /** Of mode gateway: its configuration, what it may reach, and the variables that this takes. */
  readonly gateway: {
    readonly config: string
    readonly deployed: JsonObject
    readonly variables: readonly string[]
  }
  readonly checkKeys: (text: string, variable: string) => Promise<unknown>
  /** Default: wrangler itself. */
  readonly wrangler?: typeof wrangler
}

const CONFIG = ['--config', 'wrangler.json', '--minify']
/** What wrangler tells of its work, one object a line. */
const TOLD = 'told.jsonl'

export class WorkerBuild {
  readonly #plan: WorkersPlan
  readonly #options: BuildOptions
  readonly #home: string
  readonly #worker: string
  /** Known once it is prepared. */
  content: WorkersContent = {}
  model: WorkerModel | undefined

  constructor(plan: WorkersPlan, options: BuildOptions) {
    this.#plan = plan
    this.#options = options
    this.#home = join(options.folder, '.facet/workers', plan.name)
    this.#worker = `facet-${plan.name}`
  }

  /** Writes the program and lets wrangler bundle it: nothing is sent. */
  async prepare(signal: AbortSignal): Promise<void> {
    const { root, checkKeys, secretOf } = this.#options
    const { keysEnv } = this.#plan.spec
    if (keysEnv !== undefined) await checkKeys(secretOf(keysEnv), keysEnv)
    const secrets = Object.fromEntries(
      [...this.#secrets()].map(([name, value]) => [name, fingerprint(value)]),
    )
    const source = await this.#source(secrets)
    this.model = source.model
    const bucket = source.model?.place === 'bucket' ? { bucket: source.model.hash } : {}
    await writeWorker(this.#home, source)
    const config = workerIn(wantWorkers(this.#plan, { secrets, ...bucket })).body
    await writeConfig(this.#home, config, root)
    await this.#wrangler(['deploy', ...CONFIG, '--dry-run', '--outdir', 'out'], signal)
    this.content = { hash: await measure(join(this.#home, 'out'), source), secrets, ...bucket }
  }

  /** Makes a version of it, which serves at once. */
  async deploy(config: JsonObject, signal: AbortSignal): Promise<void> {
    await writeConfig(this.#home, config, this.#options.root)
    await this.#wrangler(['deploy', ...CONFIG], signal)
  }

  /** Makes a version of it, which serves nobody yet. @returns its id */
  async upload(config: JsonObject, signal: AbortSignal): Promise<string> {
    await writeConfig(this.#home, config, this.#options.root)
    await this.#wrangler(['versions', 'upload', ...CONFIG], signal)
    const lines = (await readFile(join(this.#home, TOLD), 'utf8')).split('\n')
    const uploads = lines
      .filter((line) => line !== '')
      .map((line): unknown => JSON.parse(line))
      .filter(isObject)
      .filter(({ type }) => type === 'version-upload')
    const id = uploads.at(-1)?.version_id
    if (typeof id === 'string') return id
    throw new FacetError('unavailable', 'wrangler versions upload told no version; update wrangler.')
  }

  /** @param own as secretName makes it */
  async putSecret(own: string, signal: AbortSignal): Promise<void> {
    await this.#wrangler(['secret', 'put', own, '--name', this.#worker], signal, this.#secret(own))
  }

  async #source(secrets: Readonly<Record<string, string>>): Promise<WorkerSource> {
    const { folder, root, gateway } = this.#options
    const { mode, modelDirectory } = this.#plan.spec
    return {
      mode,
      secrets,
      root,
      deployed: gateway.deployed,
      ...(mode === 'model' && { model: await readModel(resolve(folder, modelDirectory!)) }),
      ...(mode === 'gateway' && { config: gateway.config }),
    }
  }

  /** Values, by the name that the program knows each by. */
  *#secrets(): Generator<readonly [name: string, value: string]> {
    const { secretOf, gateway } = this.#options
    const { keysEnv, mode } = this.#plan.spec
    if (keysEnv !== undefined) yield [KEYS, secretOf(keysEnv)]
    if (mode === 'gateway') for (const name of new Set(gateway.variables)) yield [name, secretOf(name)]
  }

  #secret(own: string): string {
    for (const [name, value] of this.#secrets())
      if (secretName(name, fingerprint(value)) === own) return value
    throw new FacetError('unavailable', 'A secret was changed while it was sent; run facet up again.')
  }

  #wrangler(args: readonly string[], signal: AbortSignal, input?: string): Promise<string> {
    const { cloudflare, folder: from, wrangler: run = wrangler } = this.#options
    const own = { folder: this.#home, from, cloudflare, signal, told: TOLD }
    return run(args, { ...own, ...(input !== undefined && { input }) })
  }
}
