/** Models whose files are too large for assets: in a bucket of R2, by the fake's API and workerd's own R2. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Cloudflare } from '../../../deploy/cloudflare/api.ts'
import { ModelBucket } from '../../../deploy/cloudflare/bucket.ts'
import { readModel, type WorkerModel } from '../../../deploy/cloudflare/bundle.ts'
import { WorkersTarget } from '../../../deploy/cloudflare/target.ts'
import { down } from '../../../deploy/down.ts'
import { plan } from '../../../deploy/plan.ts'
import type { WorkersSpec } from '../../../deploy/spec.ts'
import type { Target } from '../../../deploy/target.ts'
import { up } from '../../../deploy/up.ts'
import { type WorkersPlan, wantWorkers } from '../../../deploy/workers.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { FakeCloudflare } from './fake-cloudflare.ts'
import { CloudflareRefusal } from './refusal.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SPEC: WorkersSpec = { target: 'workers', mode: 'model', modelDirectory: 'model' }
const NAME = 'facet-chat-model'
const planned = plan('chat', SPEC) as WorkersPlan

/** wrangler takes seconds to start. */
const WRANGLER_MS = 120_000

const home = mkdtempSync(join(tmpdir(), 'facet-bucket-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

let fake: FakeCloudflare
let folder: string
let cloudflare: Cloudflare

beforeEach(async () => {
  fake = new FakeCloudflare()
  await fake.open()
  folder = mkdtempSync(join(home, 'one-'))
  cloudflare = new Cloudflare({
    account: 'acc',
    token: fake.token,
    baseURL: fake.url,
    clock: new SkippingClock(),
  })
})
afterEach(() => fake.close())

const options = (signal = new AbortController().signal) => ({
  owner: 'chat',
  signal,
  clock: new SkippingClock(),
})

it(
  'answers out of the bucket, needs nothing a second time, and leaves nothing behind',
  async () => {
    cpSync(join(ROOT, 'models/facet-tldr-24m'), join(folder, 'model'), { recursive: true })
    // What is too large for an asset.
    writeFileSync(join(folder, 'model/more.bin'), new Uint8Array(27e6))
    const open = (): WorkersTarget =>
      new WorkersTarget(planned, {
        cloudflare,
        folder,
        root: ROOT,
        secretOf: () => '',
        gateway: { config: join(folder, 'facet.config.ts'), deployed: {}, variables: [] },
        checkKeys: async () => undefined,
        fetch: fake.fetch,
      })
    const { finding, applied } = await up(open(), planned, options())
    expect(finding.cause).toBe('READY')
    expect(applied.map((one) => one.type !== 'delete' && one.want.kind)).toEqual([
      'R2 bucket',
      'Model in R2',
      'Worker',
    ])
    const body = JSON.stringify({
      messages: [{ role: 'user', content: 'How do I find files by name?' }],
      temperature: 0,
    })
    const headers = { 'content-type': 'application/json' }
    const url = 'https://facet-chat.me.workers.dev/v1/chat/completions'
    expect(await (await fake.fetch(url, { method: 'POST', headers, body })).text()).toContain('find')
    expect((await up(open(), planned, options())).applied).toEqual([])
    await down(open(), planned, options())
    expect([fake.workers.size, fake.buckets.size]).toEqual([0, 0])
  },
  WRANGLER_MS,
)

describe('a bucket', () => {
  let model: WorkerModel
  let before: string[]

  /** The bucket alone: no wrangler is started. */
  function target(): Target<WorkersPlan> {
    const bucket = new ModelBucket(cloudflare, 'chat')
    return {
      name: 'workers',
      want: () => wantWorkers(planned, { bucket: model.hash }).slice(0, 2),
      read: (_, signal) => bucket.read(true, signal),
      apply: (action, signal) => bucket.apply(action, model, signal),
      observe: async () => [{ type: 'answers', source: 'bucket' }],
      logs: async () => [],
      endpoint: () => undefined,
    }
  }

  const upNow = (signal?: AbortSignal) => up(target(), planned, options(signal))
  const downNow = (signal?: AbortSignal) => down(target(), planned, options(signal))
  const keys = (): string[] => [...(fake.buckets.get(NAME)?.keys() ?? [])].sort()

  async function useModel(text: string): Promise<void> {
    mkdirSync(join(folder, 'model/data'), { recursive: true })
    writeFileSync(join(folder, 'model/facet.json'), text)
    writeFileSync(join(folder, 'model/data/weights.bin'), text.repeat(3))
    model = await readModel(join(folder, 'model'))
  }

  beforeEach(async () => {
    await useModel('{}')
    before = ['data/weights.bin', 'facet.json'].map((path) => `${model.hash}/${path}`)
  })

  async function killed(at: number, run: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
    const stop = new AbortController()
    let left = at
    fake.before = () => void (left-- === 0 && setImmediate(() => stop.abort()))
    const broken = await run(stop.signal).then(
      () => false,
      () => true,
    )
    fake.before = () => {}
    return broken
  }

  it('is gone on with by up and by down, after whichever call they were killed', async () => {
    let at = 0
    for (let broken = true; broken; at++) {
      const up = await killed(at, upNow)
      await upNow()
      expect(keys()).toEqual([...before, 'gemfacet-deployment/chat'].sort())
      const off = await killed(at, downNow)
      await downNow()
      expect(fake.buckets.size).toBe(0)
      broken = up || off
    }
    expect(at).toBeGreaterThan(8)
  })

  it('is sent only what it lacks, and loses the model before', async () => {
    await upNow()
    fake.buckets.get(NAME)!.delete(before[1]!)
    const puts = (): string[] => fake.asked.filter((one) => one.startsWith('PUT ') && one.includes('objects'))
    const sent = puts().length
    await upNow()
    expect(puts().slice(sent)).toEqual([`PUT /r2/buckets/${NAME}/objects/${before[1]}`])
    await useModel('{ "other": 1 }')
    await upNow()
    expect(keys()).toEqual(
      [`${model.hash}/data/weights.bin`, `${model.hash}/facet.json`, 'gemfacet-deployment/chat'].sort(),
    )
  })

  it('is made once by two ups at once', async () => {
    await Promise.allSettled([upNow(), upNow()])
    expect((await upNow()).finding.cause).toBe('READY')
    expect(fake.buckets.size).toBe(1)
    await downNow()
    expect(fake.buckets.size).toBe(0)
  })

  it.each([
    [
      'nobody says whose it is',
      'theirs.txt',
      /R2 bucket facet-chat-model is already there and was not made by/,
    ],
    ['another deployment', 'gemfacet-deployment/other', /belongs to the deployment other/],
  ])('of somebody else is left alone: %s', async (_, key, told) => {
    fake.buckets.set(NAME, new Map([[key, Buffer.from('1')]]))
    await expect(upNow()).rejects.toThrow(told)
    await downNow()
    expect(keys()).toEqual([key])
  })

  it('is refused before anything is made where the account has no R2', async () => {
    fake.before = (request) => {
      if (request.includes('/r2/'))
        throw new CloudflareRefusal(403, 'Please enable R2 through the Cloudflare Dashboard.')
    }
    await expect(upNow()).rejects.toThrow(/^IAM: It was refused: Please enable R2/)
    expect(fake.asked.filter((one) => !one.startsWith('GET '))).toEqual([])
    const bucket = new ModelBucket(cloudflare, 'chat')
    expect(await bucket.read(false, new AbortController().signal)).toEqual([])
    await expect(bucket.read(true, new AbortController().signal)).rejects.toThrow(/R2/)
  })

  it('says of a call that hangs which it was', async () => {
    const clock = new SkippingClock()
    fake.before = (request) => {
      if (!request.startsWith('POST ')) return
      setImmediate(() => clock.expire())
      return new Promise(() => {})
    }
    await expect(up(target(), planned, { ...options(), clock })).rejects.toThrow(
      /It took longer than 60 s to create R2 bucket facet-chat-model/,
    )
  })
})
