import { describe, expect, it } from 'vitest'
import { Queue, queued } from '../../src/edge/queue.ts'
import { FakeBackend, gate } from './fake-backend.ts'

describe('a queue', () => {
  it('has places for scores and embeddings as for answers, and gives them back when they fail', async () => {
    const queue = new Queue({ running: 1, waiting: 1 })
    const door = gate()
    const backend = queued(queue)(
      Object.assign(new FakeBackend(), {
        score: async () => {
          await door.passed
          return []
        },
        embed: async () => {
          throw new Error('broken')
        },
      }),
    )
    const scores = backend.score!({ prompt: 'x', continuations: ['y'] })
    const vectors = backend.embed!(['x'])
    await expect(backend.score!({ prompt: 'x', continuations: ['y'] })).rejects.toMatchObject({
      code: 'queue_full',
      retryAfterMs: expect.any(Number),
    })
    door.open()
    expect(await scores).toEqual([])
    await expect(vectors).rejects.toThrow('broken')
    expect(await backend.score!({ prompt: 'x', continuations: ['y'] })).toEqual([])
  })

  it('adds nothing that the backend cannot do', () => {
    const backend = queued(new Queue())(new FakeBackend())
    expect(backend.score).toBeUndefined()
    expect(backend.embed).toBeUndefined()
  })

  it('estimates the wait by how long places were held', async () => {
    let nowMs = 0
    const queue = new Queue({ running: 1, waiting: 0 }, () => nowMs)
    for (let i = 0; i < 50; i++) {
      const leave = await queue.enter()
      nowMs += 20_000
      leave()
    }
    const leave = await queue.enter()
    const { retryAfterMs } = await queue.enter().catch((error) => error)
    expect(retryAfterMs).toBeGreaterThan(15_000)
    expect(retryAfterMs).toBeLessThanOrEqual(20_000)
    leave()
  })
})
