/** Workers from plan to nothing left: the real wrangler against a fake of Cloudflare's API, the Worker in workerd. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Cloudflare } from '../../../deploy/cloudflare/api.ts'
import { WorkersTarget } from '../../../deploy/cloudflare/target.ts'
import { down } from '../../../deploy/down.ts'
import { plan } from '../../../deploy/plan.ts'
import type { WorkersSpec } from '../../../deploy/spec.ts'
import { status, type Up, up } from '../../../deploy/up.ts'
import type { Context } from '../../../deploy/waiting.ts'
import type { WorkersPlan } from '../../../deploy/workers.ts'
import { collect } from '../../../src/client/collect.ts'
import { loadConfig, writeEndpoint } from '../../../src/config/node.ts'
import { toApiKeys } from '../../../src/edge/app.ts'
import type { FacetError } from '../../../src/errors.ts'
import { facet } from '../../cli/facet.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { FakeCloudflare } from './fake-cloudflare.ts'
import { FakeWorker } from './fake-worker.ts'
import { CloudflareRefusal } from './refusal.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SAMPLE = join(ROOT, 'models/facet-tldr-24m')
const MODEL: WorkersSpec = { target: 'workers', mode: 'model', modelDirectory: 'model', keysEnv: 'KEYS' }
const ASK = { messages: [{ role: 'user', content: 'How do I find files by name?' }], temperature: 0 } as const

/** wrangler takes seconds to start, and is started six times. */
const WRANGLER_MS = 180_000

const home = mkdtempSync(join(tmpdir(), 'facet-workers-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

let fake: FakeCloudflare
let folder: string
let secrets: Record<string, string>
let clock: SkippingClock

beforeEach(async () => {
  fake = new FakeCloudflare()
  await fake.open()
  folder = mkdtempSync(join(home, 'one-'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  secrets = { KEYS: 'web:a-key-of-sixteen-chars' }
  clock = new SkippingClock()
})
afterEach(() => fake.close())

function open(spec: WorkersSpec, place: object = {}): { target: WorkersTarget; planned: WorkersPlan } {
  const planned = plan('chat', spec) as WorkersPlan
  const target = new WorkersTarget(planned, {
    cloudflare: new Cloudflare({ account: 'acc', token: fake.token, baseURL: fake.url, clock }),
    folder,
    root: ROOT,
    secretOf: (name) => secrets[name]!,
    gateway: { config: join(folder, 'facet.config.ts'), deployed: {}, variables: [], ...place },
    checkKeys: toApiKeys,
    fetch: fake.fetch,
  })
  return { target, planned }
}

const context = (): Context & { readonly owner: string } => ({
  owner: 'chat',
  signal: new AbortController().signal,
  clock,
})

const upNow = (spec: WorkersSpec = MODEL, place?: object): Promise<Up> => {
  const { target, planned } = open(spec, place)
  return up(target, planned, context())
}

const failure = (run: Promise<unknown>): Promise<FacetError> =>
  run.then(
    () => expect.unreachable('nothing was thrown'),
    (error: FacetError) => error,
  )

const useSample = (): void => cpSync(SAMPLE, join(folder, 'model'), { recursive: true })

describe('a small model on Workers', () => {
  it(
    'lives: up, status, chat with a key, nothing a second time, another key, logs, down',
    async () => {
      useSample()
      const { target, planned } = open(MODEL)
      const { finding, endpoint } = await upNow()
      expect(finding.cause).toBe('READY')
      expect(endpoint).toEqual({ baseURL: 'https://facet-chat.me.workers.dev/v1', keysEnv: 'KEYS' })
      await writeEndpoint(folder, 'chat', endpoint!)
      writeFileSync(
        join(folder, 'facet.config.ts'),
        'export default { endpoints: { chat: { type: "deployed" } } }',
      )
      const ask = async (): Promise<string> => {
        const router = await (await loadConfig(folder)).router({ fetch: fake.fetch, env: secrets })
        return (await collect(router.chat(ASK))).text
      }
      expect(await ask()).toContain("`find . -name '*.txt'`")
      const worker = fake.workers.get('facet-chat')!
      expect(
        JSON.stringify([worker.serving.metadata, [...worker.serving.modules.values()].map(String)]),
      ).not.toContain('sixteen')
      expect((await fake.fetch('https://facet-chat.me.workers.dev/v1/models')).status).toBe(401)
      expect((await upNow()).applied).toEqual([])
      secrets.KEYS = 'web:another-key-of-some-length'
      const rotated = await upNow()
      expect(rotated.applied.map((one) => one.type)).toEqual(['update', 'create', 'delete'])
      expect([...fake.workers.get('facet-chat')!.serving.secrets.values()]).toEqual([secrets.KEYS])
      expect(await ask()).toContain('find')
      const logs = await target.logs(planned, context().signal)
      expect(JSON.parse(logs.at(-1)!)).toMatchObject({
        path: '/v1/chat/completions',
        status: 200,
        key: 'web',
      })
      await down(target, planned, context())
      expect(fake.workers.size).toBe(0)
      expect((await down(target, planned, context())).removed).toEqual([])
    },
    WRANGLER_MS,
  )

  it('is refused before anything is sent where it cannot fit', async () => {
    useSample()
    truncateSync(join(folder, 'model/model.onnx_data'), 90e6)
    const { code, message } = await failure(upNow())
    expect(code).toBe('out_of_memory')
    expect(message).toMatch(
      /model takes 9\d\.\d MB, and of the 128 MB .* a model may take 64\.0 MB; serve it elsewhere/,
    )
    expect(fake.asked.filter((request) => !request.startsWith('GET '))).toEqual([])
    mkdirSync(join(folder, 'empty'))
    const none = await failure(upNow({ ...MODEL, modelDirectory: 'empty' }))
    expect(none.message).toMatch(/empty holds no facet\.json; make it with facet convert/)
  })

  it('says what the Worker answers where it has no model', async () => {
    useSample()
    rmSync(join(folder, 'model/config.json'))
    expect((await failure(upNow())).message).toMatch(/^PROBE: Worker facet-chat is there, but does not tell/)
  })
})

describe('a gateway on Workers', () => {
  const CONFIG = `import { defineConfig } from 'gemfacet/config'
    export default defineConfig({ endpoints: { big: { type: 'http', baseURL: 'ORIGIN/v1', apiKeyEnv: 'BIG_KEY' } } })`

  it('routes to the endpoints of the file with their keys, which stand in no program', async () => {
    useSample()
    await upNow()
    // What it reaches is a server of ours: the model's Worker, by its address on loopback.
    const behind = fake.workers.get('facet-chat')!
    await fake.fetch('https://facet-chat.me.workers.dev/')
    const { origin } = await behind.serving.running!.ready
    fake.workers.set('behind', behind)
    fake.workers.delete('facet-chat')
    writeFileSync(join(folder, 'facet.config.ts'), CONFIG.replace('ORIGIN', origin))
    secrets.BIG_KEY = 'a-key-of-sixteen-chars'
    const spec: WorkersSpec = { target: 'workers', mode: 'gateway' }
    const { finding } = await upNow(spec, { variables: ['BIG_KEY'] })
    expect(finding.cause).toBe('READY')
    const body = JSON.stringify(ASK)
    const headers = { 'content-type': 'application/json' }
    const url = 'https://facet-chat.me.workers.dev/v1/chat/completions'
    const answer = await fake.fetch(url, { method: 'POST', headers, body })
    expect(await answer.text()).toContain('find')
    const { modules } = fake.workers.get('facet-chat')!.serving
    expect([...modules.values()].map(({ bytes }) => bytes.toString()).join()).not.toContain(
      'a-key-of-sixteen',
    )
  })
})

describe('when Cloudflare refuses', () => {
  it('leaves a Worker alone that is not its own, by up and by down', async () => {
    const spec: WorkersSpec = { target: 'workers', mode: 'gateway' }
    writeFileSync(join(folder, 'facet.config.ts'), `export default { endpoints: {} }`)
    const theirs = new FakeWorker('facet-chat', folder)
    const metadata = { main_module: 'theirs.js', compatibility_date: '2025-01-01', bindings: [] }
    theirs.deploy([{ version_id: theirs.upload(metadata, new Map()).id, percentage: 100 }])
    fake.workers.set('facet-chat', theirs)
    expect((await failure(upNow(spec))).message).toMatch(
      /Worker facet-chat is already there and was not made by/,
    )
    const { target, planned } = open(spec)
    expect((await down(target, planned, context())).removed).toEqual([])
    expect(fake.workers.get('facet-chat')).toBe(theirs)
  })

  it('tries reads again, and names what is wrong with a token, a limit and a deployment', async () => {
    const spec: WorkersSpec = { target: 'workers', mode: 'gateway' }
    writeFileSync(join(folder, 'facet.config.ts'), `export default { endpoints: {} }`)
    let busy = 2
    fake.before = () => {
      if (busy-- > 0) throw new CloudflareRefusal(busy > 0 ? 429 : 503, 'Busy.', { 'retry-after': '3' })
    }
    const { target, planned } = open(spec)
    expect((await failure(status(target, planned, context()))).message).toBe(
      'chat is not up; run facet up chat.',
    )
    fake.before = () => {
      throw new CloudflareRefusal(403, 'You have exceeded the limit of 500 Workers.')
    }
    expect((await failure(status(target, planned, context()))).message).toMatch(
      /^IAM: It was refused: You have/,
    )
    fake.before = () => {}
    fake.token = 'token-2'
    const expired = await failure(status(target, planned, context()))
    expect(expired).toMatchObject({ code: 'unauthorized' })
    expect(expired.message).toMatch(/^IAM: Nobody is signed in/)
    fake.before = (request) => {
      if (request.startsWith('PUT ')) throw new CloudflareRefusal(400, 'workers.api.error.script_too_large')
    }
    const { message } = await failure(upNow(spec))
    expect(message).toMatch(/^wrangler deploy failed: .*script_too_large/)
  })
})

describe('facet up', () => {
  it("--dry-run bundles with wrangler's own dry run, and says what would be done", async () => {
    writeFileSync(
      join(folder, 'facet.config.ts'),
      `export default { deployments: { chat: { target: 'workers', mode: 'gateway' } } }`,
    )
    const env = {
      CLOUDFLARE_ACCOUNT_ID: 'acc',
      CLOUDFLARE_API_TOKEN: fake.token,
      CLOUDFLARE_API_BASE_URL: fake.url,
    }
    const { code, stdout } = await facet(['up', 'workers', '--dry-run', '--config', folder], { env })
    expect(stdout).toBe('create Worker facet-chat\n')
    expect(code).toBe(0)
    expect(readFileSync(join(folder, '.facet/workers/chat/out/worker.js'), 'utf8')).toContain('fetch')
    expect(fake.workers.size).toBe(0)
  })
})
