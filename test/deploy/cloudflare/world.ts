/** A gateway on Workers as a test has it: a fake account, a quick wrangler, and commands as other processes run them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rulesOf } from '../../../deploy/canary.ts'
import { type CanaryEnd, type CanaryOptions, runCanary } from '../../../deploy/canary-run.ts'
import { Cloudflare } from '../../../deploy/cloudflare/api.ts'
import { WorkersCanary } from '../../../deploy/cloudflare/canary.ts'
import { type WorkersOptions, WorkersTarget } from '../../../deploy/cloudflare/target.ts'
import { type Down, down } from '../../../deploy/down.ts'
import { plan } from '../../../deploy/plan.ts'
import type { WorkersSpec } from '../../../deploy/spec.ts'
import { status, type Up, type UpOptions, up } from '../../../deploy/up.ts'
import { FIRST_TOKEN_FIELD, type WorkersPlan } from '../../../deploy/workers.ts'
import { toApiKeys } from '../../../src/edge/app.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { FakeCloudflare } from './fake-cloudflare.ts'
import type { FakeWorker, Share } from './fake-worker.ts'
import { quickWrangler } from './quick-wrangler.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SPEC: WorkersSpec = { target: 'workers', mode: 'gateway', keysEnv: 'KEYS' }
const ADDRESS = 'https://facet-chat.me.workers.dev/v1'

export class World {
  readonly fake: FakeCloudflare = new FakeCloudflare()
  readonly clock: SkippingClock = new SkippingClock()
  readonly #home: string = mkdtempSync(join(tmpdir(), 'facet-workers-'))
  keys = 'web:a-key-of-sixteen-chars'
  /** What the gateway reaches, which is part of its program: another is another version. */
  reaches = 'one'
  spec: WorkersSpec = SPEC
  /** Bucket of a version's first tokens, in milliseconds. */
  firstTokenMs: (version: string) => number = () => 250

  static async open(): Promise<World> {
    const world = new World()
    await world.fake.open()
    world.fake.behaviour.program = (version, { method }, log) => {
      if (method === 'POST') log({ status: 200, [FIRST_TOKEN_FIELD]: world.firstTokenMs(version) })
      return Response.json({ data: [] })
    }
    return world
  }

  async close(): Promise<void> {
    await this.fake.close()
    rmSync(this.#home, { recursive: true, force: true })
  }

  get worker(): FakeWorker {
    return this.fake.workers.get('facet-chat')!
  }

  /** Percent, by the version's number. */
  get shares(): Record<string, number> {
    const entry = ({ version_id: id, percentage }: Share): [string, number] => [
      String(this.worker.version(id).number),
      percentage,
    ]
    return Object.fromEntries(this.worker.shares.map(entry))
  }

  get program(): string {
    return String(this.worker.serving.modules.get('worker.js')?.bytes)
  }

  up(more: Partial<UpOptions> = {}): Promise<Up> {
    const [target, planned] = this.#open()
    return up(target, planned, { ...this.#context, ...more })
  }

  down(signal: AbortSignal = this.#context.signal): Promise<Down> {
    const [target, planned] = this.#open()
    return down(target, planned, { ...this.#context, signal })
  }

  status(): ReturnType<typeof status> {
    const [target, planned] = this.#open()
    return status(target, planned, this.#context)
  }

  get canaryTarget(): WorkersCanary {
    return new WorkersCanary(this.#plan, this.#options())
  }

  canary(more: Partial<CanaryOptions> = {}): Promise<CanaryEnd> {
    const rules = rulesOf({ steps: [10, 50], stepMinutes: 1 })
    return runCanary(this.canaryTarget, { ...this.#context, rules, ...more })
  }

  /** So many requests for an answer. */
  async ask(times: number): Promise<void> {
    for (let asked = 0; asked < times; asked++)
      await this.fake.fetch(`${ADDRESS}/chat/completions`, { method: 'POST', body: '{}' })
  }

  /** @returns whether it was, at the write of that number */
  async killed(at: number, run: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
    const stop = new AbortController()
    let left = at
    this.fake.before = (request) => {
      if (isWrite(request) && left-- === 0) setImmediate(() => stop.abort())
    }
    const broken = await run(stop.signal).then(
      () => false,
      () => true,
    )
    this.fake.before = () => {}
    return broken
  }

  /** Another process, with a folder of its own. */
  #open(): [WorkersTarget, WorkersPlan] {
    return [new WorkersTarget(this.#plan, this.#options()), this.#plan]
  }

  get #plan(): WorkersPlan {
    return plan('chat', this.spec) as WorkersPlan
  }

  get #context(): { readonly owner: string; readonly signal: AbortSignal; readonly clock: SkippingClock } {
    return { owner: 'chat', signal: new AbortController().signal, clock: this.clock }
  }

  #options(): WorkersOptions {
    const { fake, clock, keys, reaches } = this
    const folder = mkdtempSync(join(this.#home, 'one-'))
    writeFileSync(join(folder, 'facet.config.ts'), 'export default { endpoints: {} }')
    return {
      cloudflare: new Cloudflare({ account: 'acc', token: fake.token, baseURL: fake.url, clock }),
      folder,
      root: ROOT,
      secretOf: () => keys,
      gateway: {
        config: join(folder, 'facet.config.ts'),
        deployed: { [reaches]: { baseURL: `https://${reaches}.example/v1` } },
        variables: [],
      },
      checkKeys: toApiKeys,
      fetch: fake.fetch,
      wrangler: quickWrangler,
    }
  }
}

export const isWrite = (request: string): boolean =>
  !request.startsWith('GET ') && !request.endsWith('/telemetry/query')
