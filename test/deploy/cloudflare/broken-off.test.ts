/** Workers when something comes between: processes that are killed, others at work, calls that hang or fail. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { failure } from '../cloudrun/world.ts'
import { CloudflareRefusal } from './refusal.ts'
import { isWrite, World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open()
})
afterEach(() => world.close())

it('is gone on with by up and by down, after whichever write they were killed', async () => {
  let at = 0
  for (let broken = true; broken; at++) {
    const up = await world.killed(at, (signal) => world.up({ signal }))
    expect((await world.up()).finding.cause).toBe('READY')
    expect([...world.worker.serving.secrets.values()]).toEqual([world.keys])
    expect((await world.up()).applied).toEqual([])
    // A change, too.
    world.reaches = `after-${at}`
    world.keys = `web:a-key-of-sixteen-chars-${at}`
    const change = await world.killed(at, (signal) => world.up({ signal }))
    await world.up()
    expect(world.program).toContain(`https://after-${at}.example/v1`)
    expect([...world.worker.serving.secrets.values()]).toEqual([world.keys])
    const off = await world.killed(at, (signal) => world.down(signal))
    await world.down()
    expect(world.fake.workers.size).toBe(0)
    broken = up || change || off
  }
  expect(at).toBeGreaterThan(3)
})

/** Runs up for one program; once such a request comes, another machine's for another, from its start to its end. */
async function whileOther(
  fits: (request: string) => boolean,
): Promise<readonly [own: unknown, other: unknown]> {
  let other: Promise<unknown> | undefined
  world.reaches = 'anns'
  world.fake.before = async (request) => {
    if (other || !fits(request)) return
    world.reaches = 'bobs'
    other = world.up().catch((error: unknown) => error)
    await other
  }
  const own = await world.up().catch((error: unknown) => error)
  world.fake.before = () => {}
  return [own, await other]
}

it('is not written over where another up was faster, which is told', async () => {
  await world.up()
  const [own, other] = await whileOther((request) => request.endsWith('/versions') && isWrite(request))
  expect(other).toMatchObject({ finding: { cause: 'READY' } })
  expect(own).toMatchObject({
    message: expect.stringMatching(
      /^CONFLICT: Worker facet-chat was deployed by somebody else meanwhile; run/,
    ),
  })
  expect(world.program).toContain('https://bobs.example/v1')
})

it('is not said to stand where another up has written over it', async () => {
  await world.up()
  let deployed = false
  const [own, other] = await whileOther((request) => {
    const looksAfter = deployed && request.endsWith('/subdomain')
    deployed ||= request.endsWith('/deployments') && isWrite(request)
    return looksAfter
  })
  expect(other).toMatchObject({ finding: { cause: 'READY' } })
  expect(own).toMatchObject({
    message: expect.stringMatching(
      /^CONFLICT: chat was changed by somebody else meanwhile: it would take update/,
    ),
  })
})

it('is made once by two ups at once that want the same', async () => {
  const both = await Promise.allSettled([world.up(), world.up()])
  expect(both.map(({ status }) => status)).toContain('fulfilled')
  expect((await world.up()).finding.cause).toBe('READY')
  expect((await world.up()).applied).toEqual([])
  expect(world.fake.workers.size).toBe(1)
})

it('is told in one sentence which call fails or hangs for good', async () => {
  world.fake.before = (request) => {
    if (isWrite(request)) throw new CloudflareRefusal(500, 'Internal error.')
  }
  expect((await failure(world.up())).message).toMatch(/Internal error\./)
  expect(world.fake.workers.size).toBe(0)
  world.fake.before = (request) => {
    if (!request.endsWith('/settings')) return
    setImmediate(() => world.clock.expire())
    return new Promise(() => {})
  }
  expect((await failure(world.up())).message).toMatch(
    /^Waited 30 min in vain: It took longer than 60 s to read chat/,
  )
})

it('is set right where somebody has deployed another version by hand', async () => {
  await world.up()
  const [version] = world.worker.versions
  const { id } = world.worker.upload({ ...version!.metadata, compatibility_date: '2025-01-01' }, new Map())
  world.worker.deploy([{ version_id: id, percentage: 100 }])
  const { applied } = await world.up()
  expect(applied).toMatchObject([{ type: 'update', fields: ['compatibility_date'] }])
})
