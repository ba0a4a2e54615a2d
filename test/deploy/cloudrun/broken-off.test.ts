/** Cloud Run when commands are killed, or run at the same time. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SPEC, World } from './world.ts'

/** Some seconds, where nothing else runs. */
const KILLS_MS = 180_000

let world: World

beforeEach(async () => {
  world = await World.start()
})
afterEach(() => world[Symbol.asyncDispose]())

describe('broken off', () => {
  /** Runs until the nth change of anything is made, then as if it had never heard of it. */
  async function killedAt(count: number, run: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
    const stop = new AbortController()
    let left = count
    const push = world.project.changes.push.bind(world.project.changes)
    world.project.changed = (what) => {
      push(what)
      if (--left === 0) stop.abort()
    }
    const ended = await run(stop.signal).then(
      () => true,
      () => false,
    )
    world.project.changed = (what) => void push(what)
    return ended
  }

  it(
    'goes on with up and with down after each change that was made, and makes nothing twice',
    async () => {
      let ended = false
      let count = 0
      while (!ended) {
        count++
        world.project.changes.length = 0
        ended = await killedAt(count, (signal) => world.up(SPEC, signal))
        expect((await world.up()).finding.cause).toBe('READY')
        const created = world.project.changes.filter((one) => /^(?:create|build|upload) /.test(one))
        expect(created).toEqual([...new Set(created)])
        await killedAt(count, (signal) => world.down(SPEC, signal))
        await world.down()
        expect(world.project.billed).toEqual([])
        world.project.builds.length = 0
      }
      expect(count).toBeGreaterThan(15)
    },
    KILLS_MS,
  )

  it('by two ups at once that know nothing of each other ends as by one', async () => {
    const both = await Promise.allSettled([world.up(), world.up()])
    for (const one of both) if (one.status === 'rejected') expect(one.reason.message).toMatch(/^CONFLICT: /)
    expect((await world.up()).finding.cause).toBe('READY')
    expect((await world.up()).applied).toEqual([])
    expect(world.project.services.size).toBe(1)
    await world.down()
    expect(world.project.billed).toEqual([])
  })
  it('by another up with another plan is told of it, and the next up mends it', async () => {
    await world.up()
    const [anns, bobs] = [1024, 2048].map((contextTokens) => ({ ...SPEC, contextTokens }))
    const both = await Promise.allSettled([world.up(anns), world.up(bobs)])
    const told = both.flatMap((one) => (one.status === 'rejected' ? [one.reason.message] : []))
    expect(told).toEqual([expect.stringMatching(/^CONFLICT: /)])
    await world.up(bobs)
    expect((await world.up(bobs)).applied).toEqual([])
    expect(JSON.stringify(world.service.template)).toContain('"2048"')
  })
})
