/** Tunings on GKE that do not start, or do not end well: one cause each, and what is left after a kill. */
import { afterEach, describe, expect, it } from 'vitest'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { type BatchOptions, condition, setConditions } from './batch.ts'
import { putQueue } from './kueue.ts'
import type { Life } from './training.ts'
import { World } from './world.ts'

let world: World
afterEach(() => world.close())

const succeeds: Life = { steps: 30, end: 'succeed' }
const crashes = (log: readonly string[], reason?: 'OOMKilled'): Life => ({
  steps: 2,
  end: { exit: reason ? 137 : 1, log, ...(reason && { reason }) },
})

interface Case {
  readonly name: string
  readonly options?: Partial<BatchOptions>
  readonly spec?: Partial<TuneSpec>
  readonly cause: object
}

const never: readonly Case[] = [
  {
    name: 'no machine in the zone',
    options: { trouble: { stuck: 'stockout' } },
    cause: { cause: 'STOCKOUT', zone: 'us-central1-a' },
  },
  {
    name: 'a quota of zero',
    options: { trouble: { stuck: 'quota' } },
    cause: { cause: 'QUOTA' },
  },
  {
    name: 'no node pool that fits',
    options: { trouble: { stuck: 'no-nodes' } },
    cause: { cause: 'SPEC', field: 'nodeSelector' },
  },
  {
    name: 'an image that is not there',
    options: { trouble: { stuck: 'image' } },
    cause: { cause: 'IMAGE', image: 'docker.io/pytorch/pytorch:2.8.0' },
  },
  {
    name: 'a bucket that may not be read',
    options: { trouble: { stuck: 'denied' } },
    cause: { cause: 'STORAGE', problem: 'denied', says: expect.stringContaining('roles/storage.objectUser') },
  },
  {
    name: 'a bucket that is not there',
    options: { trouble: { stuck: 'no-bucket' } },
    cause: { cause: 'STORAGE', problem: 'missing' },
  },
  {
    name: 'a queue whose quota is used up',
    options: { queue: { room: false } },
    spec: { queue: 'tune' },
    cause: {
      cause: 'QUOTA',
      says: expect.stringMatching(/^The queue tune has no room \(Pending\): .*2 more needed\.$/),
    },
  },
  {
    name: 'a queue whose whole quota is too small',
    options: {
      queue: {
        room: false,
        says: "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor l4, previously considered podsets requests (0) + current podset request (1) > maximum capacity (0)",
      },
    },
    spec: { queue: 'tune' },
    cause: { cause: 'QUOTA', quota: 'nvidia.com/gpu in flavor l4', wanted: 1, limit: 0 },
  },
  {
    name: 'a queue that was stopped',
    options: { queue: { room: false, reason: 'Inadmissible', says: 'LocalQueue tune is inactive' } },
    spec: { queue: 'tune' },
    cause: { cause: 'SPEC', field: 'queue' },
  },
]

describe('a tuning that never starts', () => {
  it.each(never)('names $name', async ({ options, spec, cause }) => {
    world = await World.open({ life: () => succeeds, ...options })
    putQueue(world.cluster, 'tune')
    const planned = await world.plan(spec)
    await world.start(planned)
    await world.cluster.settle()
    const seen = await world.observe(planned)
    expect(seen).toMatchObject({ state: 'waiting', attempt: 0, preemptions: 0, cause })
    expect(seen!.cause!.says).toMatch(/[.!?…]$/)
  })

  it('is waited for no longer than it may mend itself', async () => {
    world = await World.open({ life: () => succeeds, trouble: { stuck: 'image' } })
    const planned = await world.plan()
    await world.start(planned)
    await expect(world.watch(planned)).rejects.toThrow(
      /^IMAGE: .* mend it and run facet tune sft bees again, or facet tune stop bees\.$/,
    )
    world.batch.trouble.stuck = undefined
  })

  it('for want of its queue is not made at all', async () => {
    world = await World.open({ life: () => succeeds })
    const planned = await world.plan({ queue: 'tuna' })
    await expect(world.start(planned)).rejects.toThrow(/^queue: the namespace facet has no LocalQueue tuna;/)
    expect(world.cluster.list('batch/v1', 'Job')).toEqual([])
  })
})

const fails: readonly (Case & { readonly life: Life })[] = [
  {
    name: 'more memory of the machine than it may take',
    life: crashes([], 'OOMKilled'),
    cause: { cause: 'OOM_HOST', container: 'train' },
  },
  {
    name: 'too little memory of the device',
    life: crashes(['torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.91 GiB.']),
    cause: { cause: 'OOM_DEVICE', says: expect.stringContaining('qlora') },
  },
  {
    name: 'a licence that was not accepted',
    life: crashes([
      'huggingface_hub.errors.GatedRepoError: 403 Client Error.',
      'Cannot access gated repo for url https://huggingface.co/google/gemma-2b/resolve/main/config.json.',
    ]),
    cause: { cause: 'GATED_MODEL' },
  },
  {
    name: 'a full bucket',
    life: crashes([
      '{"facet":"error","message":"There is no space left for /run-folder/out/checkpoints/checkpoint-20/model.bin; free some and start the job again: it goes on from its newest complete checkpoint."}',
    ]),
    cause: {
      cause: 'STORAGE',
      problem: 'full',
      says: expect.stringContaining('The bucket takes nothing more'),
    },
  },
  {
    name: 'a full disk, which is no full bucket',
    life: crashes(["OSError: [Errno 28] No space left on device: '/cache/huggingface/blob'"]),
    cause: { cause: 'STORAGE', problem: 'full', says: expect.stringContaining('/cache/huggingface/blob') },
  },
  {
    name: 'a bucket that may not be written',
    life: crashes(["PermissionError: [Errno 13] Permission denied: '/run-folder/out/checkpoints'"]),
    cause: { cause: 'STORAGE', problem: 'denied' },
  },
  {
    name: 'a missing role',
    life: crashes(["google.api_core.exceptions.Forbidden: 403 Permission 'aiplatform.models.get' denied"]),
    cause: { cause: 'IAM', role: expect.stringContaining('roles/aiplatform.user') },
  },
  {
    name: 'a setting that the script refuses',
    life: crashes([
      '{"facet":"error","message":"job.json: hyperparameters.seed must be a whole number, but is 0.5."}',
    ]),
    cause: { cause: 'SPEC', field: 'hyperparameters.seed' },
  },
  {
    name: 'rows that cannot be read',
    life: crashes(['{"facet":"error","message":"train.jsonl, line 3: messages[0].role must be user."}']),
    cause: { cause: 'SPEC', field: 'data' },
  },
  {
    name: 'a crash, with its last lines',
    life: crashes(['Traceback (most recent call last):', 'ValueError: no such optimizer']),
    cause: { cause: 'CRASH', exitCode: 1, lines: expect.arrayContaining(['ValueError: no such optimizer']) },
  },
]

describe('a tuning that fails', () => {
  it.each(fails)('names $name', async ({ life, cause }) => {
    world = await World.open({ life: () => life })
    const planned = await world.plan()
    await world.start(planned)
    await world.cluster.settle()
    expect(await world.observe(planned)).toMatchObject({ state: 'failed', attempt: 3, preemptions: 0, cause })
  })

  it('is made again by the next start, and goes on', async () => {
    world = await World.open({ life: () => ({ steps: 12, end: { exit: 1, log: ['ValueError: once'] } }) })
    const planned = await world.plan()
    await world.start(planned)
    await world.cluster.settle()
    const crash = await world.observe(planned)
    expect(crash).toMatchObject({ state: 'failed' })

    world.batch.setLife(() => succeeds)
    const { applied } = await world.start(planned)
    expect(applied.length).toBeGreaterThan(0)
    const last = await world.watch(planned)
    expect(last).toMatchObject({ state: 'succeeded', attempt: 1, preemptions: 0 })
  })
})

describe('a tuning whose guard is reached', () => {
  it('is ended by the cluster, and says how far it came', async () => {
    world = await World.open({ life: () => ({ steps: 12, end: 'stay' }) })
    const planned = await world.plan({ guard: { ttlHours: 2 } })
    await world.start(planned)
    await world.cluster.settle()
    const [job] = world.cluster.list('batch/v1', 'Job')
    expect(job).toMatchObject({ spec: { activeDeadlineSeconds: 7200 } })
    const late = condition('Failed', 'DeadlineExceeded', 'Job was active longer than specified deadline')
    setConditions(world.cluster, job!, [late])
    expect(await world.observe(planned)).toMatchObject({
      state: 'failed',
      cause: { cause: 'GUARD', says: expect.stringContaining('at step 12 of 30, saved at 10;') },
    })
  })
})

describe('a tuning that is preempted', () => {
  it('ten times goes on, and says how often', async () => {
    world = await World.open({
      life: (attempt) => (attempt <= 10 ? { steps: 11, end: 'preempt' } : succeeds),
    })
    const planned = await world.plan({ hyperparameters: { saveEverySteps: 10 } })
    await world.start(planned)
    const seen: number[] = []
    const last = await world.watch(planned, ({ preemptions }) => seen.push(preemptions))
    expect(last).toMatchObject({ state: 'succeeded', preemptions: 10, attempt: 11 })
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  })

  it.each([
    { where: 'on one host', spec: {} },
    {
      where: 'on a slice',
      spec: { with: 'maxtext', method: 'full', model: 'gemma-7b', accelerator: 'tpu-v5e' } as const,
    },
  ])(
    'oftener than it may $where ends with one sentence, and goes on when it is started again',
    async ({ spec }) => {
      world = await World.open({ life: () => ({ steps: 1, end: 'preempt' }) })
      const planned = await world.plan({ ...spec, maxPreemptions: 3 })
      await world.start(planned)
      const last = await world.watch(planned)
      expect(last).toMatchObject({
        state: 'failed',
        preemptions: 3,
        cause: {
          cause: 'PREEMPTED',
          times: 3,
          says: expect.stringMatching(
            /^Its machines were taken away more than 3 times, at step 1 of 30; run facet tune sft bees again to go on from there, or take capacity on-demand\.$/,
          ),
        },
      })
      world.batch.setLife(() => succeeds)
      await world.start(planned)
      expect(await world.watch(planned)).toMatchObject({ state: 'succeeded' })
    },
  )

  it('by its queue waits there again', async () => {
    world = await World.open({ life: () => ({ steps: 3, end: 'stay' }) })
    putQueue(world.cluster, 'tune')
    const planned = await world.plan({ queue: 'tune' })
    await world.start(planned)
    await world.cluster.settle()
    expect(await world.observe(planned)).toMatchObject({ state: 'running' })
    world.batch.queue.room = false
    await world.cluster.settle()
    expect(await world.observe(planned)).toMatchObject({
      state: 'preempted',
      preemptions: 1,
      cause: { cause: 'QUOTA' },
    })
  })
})

describe('a start that is killed', () => {
  it('at any write is gone on from, and ends with one job', async () => {
    world = await World.open({ life: () => succeeds })
    const planned = await world.plan()
    const writes = (): number =>
      world.cluster.api.calls.filter(
        ({ method, query }) => ['PATCH', 'DELETE'].includes(method) && query.get('dryRun') === null,
      ).length
    await world.start(planned)
    const whole = writes()
    await world.stop(planned)
    for (let at = 0; at < whole; at++) {
      let left = at
      // The connection is lost before the write, or after it: nobody is there to hear the answer.
      world.cluster.api.faults.push({
        fits: ({ method, query }) =>
          ['PATCH', 'DELETE'].includes(method) && query.get('dryRun') === null && left-- <= 0,
        does: at % 2 === 0 ? 'drop' : 'lose',
        each: true,
      })
      await world.start(planned).catch(() => undefined)
      world.cluster.api.faults.length = 0
      await world.start(planned)
      expect(world.cluster.list('batch/v1', 'Job')).toHaveLength(1)
      await world.stop(planned)
      expect(world.cluster.list('batch/v1', 'Job')).toEqual([])
    }
    expect(whole).toBeGreaterThan(5)
  })

  it('while it uploads is gone on from', async () => {
    world = await World.open({ life: () => succeeds })
    const planned = await world.plan()
    world.bucket.refuses = { status: 403, message: 'ann@laptop does not have storage.objects.get access.' }
    await expect(world.start(planned)).rejects.toThrow(/IAM|storage\.objects/)
    expect(world.cluster.list('batch/v1', 'Job')).toEqual([])
    world.bucket.refuses = undefined
    await world.start(planned)
    expect(await world.watch(planned)).toMatchObject({ state: 'succeeded' })
  })
})
