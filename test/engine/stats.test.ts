import { expect, it } from 'vitest'
import { createEngine } from '../../src/engine/backend.ts'
import { collect } from './collect.ts'
import { fakeGraph, letters, says } from './fake-graph.ts'

it('counts what it does: slots, queue, batches, tokens in the cache', async () => {
  const graph = fakeGraph(says('Hello.'))
  const engine = createEngine({ graph, tokenizer: letters, model: { id: 'fake' }, slots: 2, queue: 4 })
  const door = Promise.withResolvers<void>()
  graph.onStep = () => (graph.steps.length === 3 ? door.promise : undefined)
  const idle = await engine.stats!()
  expect(idle).toEqual({
    graph: 'fake',
    slots: 2,
    running: 0,
    waiting: 0,
    steps: 0,
    stepSequences: 0,
    batch: 0,
    kvTokens: 0,
    kvCapacityTokens: 512,
    promptTokens: 0,
    cachedTokens: 0,
  })
  const answers = [1, 2, 3].map(() => collect(engine, { prompt: 'Hi', temperature: 0 }))
  while (graph.steps.length < 3) await new Promise((resolve) => setImmediate(resolve))
  expect(await engine.stats!()).toMatchObject({
    running: 2,
    waiting: 1,
    steps: 3,
    stepSequences: 6,
    batch: 2,
    kvTokens: 2 * (3 + 1),
    promptTokens: 6,
  })
  door.resolve()
  await Promise.all(answers)
  expect(await engine.stats!()).toMatchObject({ running: 0, waiting: 0, batch: 0, kvTokens: 0 })
  await engine.close()
})
