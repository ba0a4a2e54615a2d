/** A tuning on GKE from its start to its result: queued, preempted, resumed, on one host and on a slice of several. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Observation } from '../../../src/tune/job/job.ts'
import { lastStep } from '../../../src/tune/job/metrics.ts'
import { putQueue } from './kueue.ts'
import type { Life } from './training.ts'
import { World } from './world.ts'

let world: World
afterEach(() => world.close())

const succeeds: Life = { steps: 30, end: 'succeed' }
const preempted: Life = { steps: 12, end: 'preempt' }

/** States in the order in which they were seen, each as often as it was entered. */
function statesOf(seen: readonly Observation[]): string[] {
  return seen.map(({ state }) => state).filter((state, index, all) => state !== all[index - 1])
}

describe('a tuning', () => {
  it('waits in its queue, runs, is preempted, goes on from its checkpoint, and succeeds', async () => {
    world = await World.open({
      life: (attempt) => (attempt < 3 ? preempted : succeeds),
      queue: { room: false },
    })
    putQueue(world.cluster, 'tune')
    const planned = await world.plan({ queue: 'tune' })
    const { applied } = await world.start(planned)
    expect(applied.map((action) => (action.type === 'delete' ? '' : action.want.kind))).toEqual([
      'ServiceAccount',
      'Secret',
      'NetworkPolicy',
      'ConfigMap',
      'Job',
    ])
    await world.cluster.settle()
    expect(await world.observe(planned)).toMatchObject({
      state: 'waiting',
      attempt: 0,
      cause: {
        cause: 'QUOTA',
        quota: 'nvidia.com/gpu in flavor l4-spot',
        says: expect.stringContaining('2 more needed'),
      },
    })

    world.batch.queue.room = true
    const seen: Observation[] = []
    const last = await world.watch(planned, (observation) => seen.push(observation))
    expect(statesOf(seen)).toEqual([
      'waiting',
      'running',
      'preempted',
      'running',
      'preempted',
      'running',
      'succeeded',
    ])
    expect(last).toMatchObject({ state: 'succeeded', attempt: 3, preemptions: 2 })
    expect(last.cause).toBeUndefined()
    // Each step once, though some were done twice.
    const steps = last.steps.flatMap((line) => (line.facet === 'step' ? [line.step] : []))
    expect(steps).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
    expect(world.bucket.names(`tunings/${planned.run}/`)).toEqual(
      expect.arrayContaining([
        `tunings/${planned.run}/data/train.jsonl`,
        `tunings/${planned.run}/out/done.json`,
        `tunings/${planned.run}/out/result/adapter_model.safetensors`,
      ]),
    )
  })

  it('on four hosts of a TPU slice restarts whole when one host is taken away', async () => {
    world = await World.open({ life: (attempt) => (attempt === 1 ? preempted : succeeds) })
    const planned = await world.plan({
      with: 'maxtext',
      method: 'full',
      model: 'google/gemma-7b',
      accelerator: 'tpu-v5e',
    })
    expect(planned.machines).toMatchObject({ hosts: 4, topology: '4x4' })
    await world.start(planned)
    await world.cluster.step()
    expect(world.cluster.list('jobset.x-k8s.io/v1alpha2', 'JobSet')).toHaveLength(1)
    const last = await world.watch(planned)
    expect(last.state).toBe('succeeded')
    const [set] = world.cluster.list('jobset.x-k8s.io/v1alpha2', 'JobSet')
    expect(set).toMatchObject({ status: { restarts: 1, restartsCountTowardsMax: 0 } })
  })

  it('that is done is left alone by another start, and is still known once its job is gone', async () => {
    world = await World.open({ life: () => succeeds })
    const planned = await world.plan()
    await world.start(planned)
    await world.watch(planned)
    const { version } = world.cluster.api.store
    expect(await world.start(planned)).toEqual({ applied: [] })
    expect(world.cluster.api.store.version).toBe(version)
    await world.stop(planned)
    expect(await world.observe(planned)).toMatchObject({ state: 'succeeded' })
    expect(await world.start(planned)).toEqual({ applied: [] })
  })

  it('goes on after nobody watched, and a second start of the same writes nothing', async () => {
    world = await World.open({ life: () => ({ steps: 12, end: 'stay' }) })
    const planned = await world.plan()
    await world.start(planned)
    await world.cluster.settle()
    const { version } = world.cluster.api.store
    const uploads = world.bucket.asked.filter((one) => one.startsWith('POST')).length
    expect(await world.start(planned, 'bob@desk')).toEqual({ applied: [] })
    expect(world.cluster.api.store.version).toBe(version)
    expect(world.bucket.asked.filter((one) => one.startsWith('POST'))).toHaveLength(uploads)
    const seen = await world.observe(planned)
    expect(seen).toMatchObject({ state: 'running', attempt: 1, preemptions: 0 })
    expect(lastStep(seen!.steps)).toMatchObject({ step: 12, steps: 30 })
    expect((await world.runner().logs(planned, new AbortController().signal)).at(-1)).toContain('"step":12')
  })

  it('that ends while it is looked at is not done at a step before its last', async () => {
    world = await World.open({ life: () => ({ steps: 12, end: 'stay' }) })
    const planned = await world.plan()
    await world.start(planned)
    await world.cluster.settle()
    const { bucket } = world
    const out = `tunings/${planned.run}/out`
    bucket.onRead = () => {
      bucket.onRead = undefined
      bucket.append(`${out}/metrics.jsonl`, '{"facet":"step","step":30,"steps":30,"loss":1}\n')
      bucket.objects.set(`${out}/done.json`, '{}')
    }
    const between = await world.observe(planned)
    expect(between!.state === 'running' || lastStep(between!.steps)!.step === 30).toBe(true)
    const after = await world.observe(planned)
    expect(after!.state).toBe('succeeded')
    expect(lastStep(after!.steps)).toMatchObject({ step: 30 })
  })

  it('is stopped, leaves nothing that costs, and goes on from its checkpoint when it is started again', async () => {
    world = await World.open({ life: (attempt) => (attempt === 1 ? { steps: 12, end: 'stay' } : succeeds) })
    const planned = await world.plan()
    await world.start(planned)
    await world.cluster.settle()
    const { removed } = await world.stop(planned)
    expect(removed.map(({ kind }) => kind)).toContain('Job')
    expect(world.cluster.list('v1', 'Pod')).toEqual([])
    expect(world.cluster.list('batch/v1', 'Job')).toEqual([])
    expect(await world.observe(planned)).toBeUndefined()

    world.batch.setLife(() => succeeds)
    await world.start(planned)
    const last = await world.watch(planned)
    expect(last).toMatchObject({ state: 'succeeded', attempt: 1, preemptions: 0 })
    expect(last.steps).toContainEqual({ facet: 'resume', step: 10 })
  })
})

describe('two starts', () => {
  it('of the same at once make one job', async () => {
    world = await World.open({ life: () => succeeds })
    const planned = await world.plan()
    await Promise.all([world.start(planned, 'ann@laptop'), world.start(planned, 'bob@desk')])
    await world.cluster.settle()
    expect(world.cluster.list('batch/v1', 'Job')).toHaveLength(1)
    expect(await world.observe(planned)).toMatchObject({ state: 'succeeded' })
  })

  it('of another spec under the same name: the second is told what is under way, and changes nothing', async () => {
    world = await World.open({ life: () => ({ steps: 3, end: 'stay' }) })
    const planned = await world.plan()
    await world.start(planned)
    await world.cluster.settle()
    const { version } = world.cluster.api.store
    const other = await world.plan({ lora: { rank: 8 } })
    await expect(world.start(other)).rejects.toThrow(
      /^bees is under way with another spec or other data, as tune-bees-/,
    )
    await expect(world.observe(other)).rejects.toThrow(/under way with another spec/)
    const dearer = await world.plan({ capacity: 'on-demand' })
    expect(dearer.run).toBe(planned.run)
    await expect(world.start(dearer)).rejects.toThrow(/under way on other machines or terms/)
    expect(world.cluster.api.store.version).toBe(version)
  })

  it('never touch what somebody else made under the same name', async () => {
    world = await World.open({ life: () => succeeds })
    const metadata = { name: 'tune-bees', namespace: 'facet' }
    world.cluster.api.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata })
    const planned = await world.plan()
    await expect(world.start(planned)).rejects.toThrow(
      /ServiceAccount tune-bees is already there and was not made by Facet/,
    )
    expect(world.cluster.list('batch/v1', 'Job')).toEqual([])
  })
})
