/** Canaries on Workers: two versions of one Worker, by a gradual deployment. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CanaryOptions } from '../../../deploy/canary-run.ts'
import { fromMessage, toMessage } from '../../../deploy/cloudflare/canary-state.ts'
import { failure } from '../cloudrun/world.ts'
import { World } from './world.ts'

let world: World
let shares: string[]
/** Between two looks a hundred requests are made. */
const clocked = (): Partial<CanaryOptions> => ({
  clock: {
    now: () => world.clock.now(),
    async sleep(ms, signal) {
      if (ms < 60_000) await world.ask(100)
      return world.clock.sleep(ms, signal)
    },
  },
  onDecision: () => void shares.push(JSON.stringify(world.shares)),
})
const isCanary = (version: string): boolean => world.worker.version(version).number > 2

beforeEach(async () => {
  world = await World.open()
  shares = []
  // The first version has no secret yet; the second serves.
  await world.up()
  world.reaches = 'other'
})
afterEach(() => world.close())

it('is given more and more requests, and becomes the only version', async () => {
  expect(await world.canary(clocked())).toMatchObject({ outcome: 'promoted' })
  expect(new Set(shares)).toEqual(new Set(['{"2":90,"3":10}', '{"2":50,"3":50}']))
  expect(world.shares).toEqual({ 3: 100 })
  expect(world.program).toContain('https://other.example/v1')
  expect(world.worker.deployments[0]!.annotations).toEqual({})
  expect(await world.canary(clocked())).toMatchObject({ outcome: 'nothing-to-do' })
  expect((await world.up()).applied).toEqual([])
})

it('that Cloudflare has to end is taken away again, and up goes on from the version before', async () => {
  const end = world.canary({
    ...clocked(),
    onDecision: () => {
      world.fake.behaviour.fails = isCanary
    },
  })
  // Its answers to whoever looks are its end too.
  expect(await end).toMatchObject({ outcome: 'rolled-back', why: expect.stringMatching(/^PROBE: .*1102/) })
  expect(world.shares).toEqual({ 2: 100 })
  world.fake.behaviour.fails = () => false
  world.reaches = 'one'
  expect((await world.up()).applied).toEqual([])
  world.reaches = 'third'
  world.keys = 'web:another-key-of-some-length'
  expect((await world.up()).applied.map(({ type }) => type)).toEqual(['update', 'create', 'delete'])
  expect(world.program).toContain('https://third.example/v1')
})

it('that fails more is rolled back, with the figures', async () => {
  world.fake.behaviour.program = (version, { method }) =>
    method === 'POST' && isCanary(version) ? new Response('{}', { status: 500 }) : Response.json({ data: [] })
  const { outcome, why } = await world.canary(clocked())
  expect(outcome).toBe('rolled-back')
  expect(why).toMatch(/^errors \d+ of \d+ \(100\.0%\) against 0 of \d+/)
  expect(world.shares).toEqual({ 2: 100 })
})

it('that answers later is rolled back, with the figures', async () => {
  world.firstTokenMs = (version) => (isCanary(version) ? 5_000 : 250)
  const { outcome, why } = await world.canary(clocked())
  expect(outcome).toBe('rolled-back')
  expect(why).toMatch(/^first tokens after 375 ms \d+ of \d+ \(100\.0%\) against 0 of \d+/)
  expect(world.shares).toEqual({ 2: 100 })
})

it('that does not come up is taken away before it has had a request', async () => {
  world.fake.behaviour.program = (version) =>
    isCanary(version) ? Response.json({ error: { message: 'No.' } }, { status: 500 }) : Response.json({})
  expect((await failure(world.canary(clocked()))).message).toMatch(/^PROBE: .*No\./)
  expect(shares).toEqual([])
  expect(world.shares).toEqual({ 2: 100 })
})

it('is gone on with where it was broken off, after whichever write that was', async () => {
  let at = 0
  for (let broken = true; broken; at++) {
    broken = await world.killed(at, (signal) => world.canary({ ...clocked(), signal }))
    expect((await world.canary(clocked())).outcome).toMatch(/^(promoted|nothing-to-do)$/)
    expect(Object.values(world.shares)).toEqual([100])
    expect(world.program).toContain(`https://${world.reaches}.example/v1`)
    world.reaches = `after-${at}`
  }
  expect(at).toBeGreaterThan(8)
})

describe('is refused', () => {
  it('while another is under way', async () => {
    const stop = new AbortController()
    const onDecision: CanaryOptions['onDecision'] = ({ do: what }) => what === 'advance' && stop.abort()
    await failure(world.canary({ ...clocked(), signal: stop.signal, onDecision }))
    world.spec = { ...world.spec, domain: 'chat.example.com' }
    expect((await failure(world.canary(clocked()))).message).toMatch(/^A canary of something else is under/)
  })

  it('where nothing is up, and where more than a version would change', async () => {
    world.spec = { ...world.spec, domain: 'chat.example.com' }
    expect((await failure(world.canary())).message).toMatch(/^(?:routes|workers_dev) of chat would change/)
    world.keys = 'web:another-key-of-some-length'
    expect((await failure(world.canary())).message).toMatch(/^Secrets of chat differ from those/)
    await world.down()
    expect((await failure(world.canary())).message).toMatch(/^chat is not up, so there is nothing to comp/)
  })

  it('where somebody shares the requests by hand, which up sets right', async () => {
    const [, second] = world.worker.versions
    const { id } = world.worker.upload(second!.metadata, second!.modules)
    world.worker.deploy([
      { version_id: second!.id, percentage: 60 },
      { version_id: id, percentage: 40 },
    ])
    expect((await failure(world.canary())).message).toMatch(/^CONFLICT: Two versions of Worker facet-chat/)
    world.reaches = 'one'
    expect((await world.up()).applied).toHaveLength(1)
    expect(Object.values(world.shares)).toEqual([100])
  })

  it('where its state is damaged', async () => {
    const versions = world.worker.shares
    world.worker.deploy(versions, { 'workers/message': 'gemfacet-canary weighing ten' })
    expect((await failure(world.canary())).message).toMatch(/^The state of the canary, .* is damaged; deploy/)
  })
})

describe('the message of a deployment', () => {
  const state = fc.record({
    phase: fc.constantFrom('starting', 'weighing', 'promoting', 'promoted', 'rolling-back' as const),
    percent: fc.nat(100),
    step: fc.nat(99),
    sinceMs: fc.nat(10_000_000_000_000),
    fingerprint: fc.stringMatching(/^[0-9a-f]{10}$/),
  })

  it('holds a state in what Cloudflare keeps of it', () => {
    fc.assert(
      fc.property(state, fc.uuid(), (one, stable) => {
        const before = { stable: {}, canary: {} }
        const message = toMessage({ format: 1, before, ...one }, stable)
        expect(message.length).toBeLessThanOrEqual(100)
        expect(fromMessage(message)).toEqual({
          state: { format: 1, before, ...one },
          stable: stable.slice(0, 8),
        })
      }),
    )
  })

  it('that says anything else is no state, or a damaged one', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `gemfacet-canary ${text}`),
        ),
        (text) => {
          expect(['damaged', undefined]).toContain(fromMessage(text))
        },
      ),
    )
  })
})
