import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { v1 } from '@google-cloud/aiplatform'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SignIn } from '../../../deploy/google/ask.ts'
import { Rest } from '../../../deploy/google/rest.ts'
import type { Step } from '../../../deploy/waiting.ts'
import { RunFolder } from '../../../src/tune/job/bucket.ts'
import { readData, readInputs } from '../../../src/tune/job/inputs.ts'
import type { JobInputs, JobPlan, Observation, StartOptions } from '../../../src/tune/job/job.ts'
import { plan as planOf } from '../../../src/tune/job/plan.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { VertexRunner } from '../../../src/tune/job/vertex-runner.ts'
import { temporary } from '../../convert/checkpoints.ts'
import { SkippingClock } from '../../deploy/skipping-clock.ts'
import type { FakeGoogle } from '../../google-apis/server.ts'
import { GoogleStatus } from '../../google-apis/status.ts'
import { refusal } from '../../pull/pulling.ts'
import { type FakeJob, FakeVertexJobs } from './fake-vertex-jobs.ts'

const SPEC: TuneSpec = {
  kind: 'sft',
  on: 'vertex',
  model: 'gemma-2b-it',
  data: 'train.jsonl',
  project: 'my-project',
  region: 'us-central1',
  bucket: 'gs://runs/tunings',
  capacity: 'spot',
  serviceAccount: 'tuner@my-project.iam.gserviceaccount.com',
  guard: { ttlHours: 6 },
}
const { signal } = new AbortController()
const STEP = '{"facet":"step","step":10,"steps":30,"loss":2}\n{"facet":"save","step":10}\n'

let fake: FakeVertexJobs
let google: FakeGoogle
let client: v1.JobServiceClient
let folder: string
let plan: JobPlan
let inputs: JobInputs

beforeEach(async () => {
  fake = new FakeVertexJobs()
  google = await fake.start()
  client = new v1.JobServiceClient(google.clientOptions() as never)
  folder = await temporary()
  await writeFile(join(folder, 'train.jsonl'), '{"messages":[]}\n')
  await prepare(SPEC)
})
afterEach(async () => {
  await client.close()
  google.close()
})

async function prepare(spec: TuneSpec): Promise<void> {
  plan = planOf('support', spec, await readData(spec, folder))
  inputs = await readInputs(spec, folder)
}

/** As another process would open it: nothing is kept between them. */
function runner(): VertexRunner {
  const tokens = { token: async () => 'token-1', refused: () => undefined }
  const clock = new SkippingClock()
  const rest = new Rest({ tokens, fetch: fake.fetch, clock })
  return new VertexRunner({
    jobs: client,
    rest,
    asking: { signIn: new SignIn(tokens), clock },
    folderOf: ({ folders }) => new RunFolder(rest, folders.root),
    secretOf: (name) => `secret-of-${name}`,
  })
}

const start = (more: Partial<StartOptions> = {}) =>
  runner().start(plan, inputs, { by: 'ann', signal, ...more })
/** The next two starts: neither makes its job before both have seen that there is none. */
function startTogether(): void {
  const { promise, resolve } = Promise.withResolvers<void>()
  google.onCall = () => {
    if (google.count('CreateCustomJob') === 2) resolve()
  }
  google.next('CreateCustomJob', promise, promise)
}
const observed = async (): Promise<Observation> => (await runner().observe(plan, signal))!
const object = (path: string): string => `${plan.folders.root.slice('gs://runs/'.length)}/${path}`
const writes = (path: string, text: string): void => void fake.objects.set(object(path), text)

describe('a tuning on Vertex AI', () => {
  it('is a custom job on spot machines that is restarted with them', () => {
    const [{ body, billable }] = runner().want(plan) as [ReturnType<VertexRunner['want']>[number]]
    expect(billable).toBe(true)
    expect(body).toMatchSnapshot()
  })

  it('finds scripts, settings and data in its bucket, and its token in no plan', async () => {
    expect((await start()).applied).toHaveLength(1)
    expect(JSON.parse(fake.objects.get(object('job/job.json'))!)).toEqual(plan.settings)
    expect(fake.objects.get(object('job/facet_job.py'))).toContain('class Run')
    expect(fake.objects.get(object('data/train.jsonl'))).toBe('{"messages":[]}\n')
    expect(JSON.stringify(fake.newest.jobSpec)).toContain('secret-of-HF_TOKEN')
    expect(JSON.stringify(runner().want(plan))).not.toContain('secret-of')
  })

  it('is found again by whoever runs the command next', async () => {
    await start()
    expect(await start()).toEqual({ applied: [] })
    expect(google.count('CreateCustomJob')).toBe(1)
  })

  it('is made once where the answer was lost', async () => {
    google.next('CreateCustomJob', 'lost')
    await start()
    expect(fake.jobs.size).toBe(1)
  })

  it('is one job where two people start it at the same moment: the younger one is cancelled, which is said', async () => {
    startTogether()
    const steps: Step[] = []
    const both = await Promise.all([
      start({ onStep: (step) => steps.push(step) }),
      start({ onStep: (step) => steps.push(step) }),
    ])
    expect(both.map(({ applied }) => applied.length).toSorted()).toEqual([0, 1])
    const [elder, younger] = [...fake.jobs.values()] as [FakeJob, FakeJob]
    expect([elder.state, younger.state]).toEqual(['JOB_STATE_PENDING', 'JOB_STATE_CANCELLING'])
    expect(steps).toEqual([
      { type: 'done', what: 'Cancelled custom job 2: support was started twice at once, and 1 goes on.' },
    ])
    elder.state = 'JOB_STATE_RUNNING'
    expect(await observed()).toMatchObject({ state: 'running' })
    const message = 'CUDA out of memory.'
    Object.assign(elder, {
      state: 'JOB_STATE_FAILED',
      endTime: { seconds: 1_800_009_000 },
      error: { code: 3, message },
    })
    fake.log = [message]
    expect(await observed()).toMatchObject({ state: 'failed', cause: { cause: 'OOM_DEVICE' } })
  })

  it('is refused where another run of its name was started at the same moment, and costs nothing', async () => {
    startTogether()
    const first = [plan, inputs] as const
    await prepare({ ...SPEC, hyperparameters: { epochs: 3 } })
    const started = await Promise.allSettled([
      runner().start(...first, { by: 'ann', signal }),
      runner().start(plan, inputs, { by: 'ben', signal }),
    ])
    const refused = started.filter((one) => one.status === 'rejected')
    expect(refused.map(({ reason }) => (reason as Error).message)).toEqual([
      expect.stringMatching(
        /^support is under way as support-\w+, with other data or settings; stop it with/,
      ),
    ])
    expect([...fake.jobs.values()].map(({ state }) => state)).toEqual([
      'JOB_STATE_PENDING',
      'JOB_STATE_CANCELLING',
    ])
  })

  it('goes on from its checkpoints in a new job once the one before has ended', async () => {
    await start()
    fake.newest.state = 'JOB_STATE_FAILED'
    expect((await start()).applied).toHaveLength(1)
    expect(fake.jobs.size).toBe(2)
    writes('out/done.json', '{}')
    fake.newest.state = 'JOB_STATE_SUCCEEDED'
    expect(await start()).toEqual({ applied: [] })
  })

  it('does not start beside another run of its name', async () => {
    await start()
    await prepare({ ...SPEC, hyperparameters: { epochs: 3 } })
    expect((await refusal(start())).message).toMatch(
      /^support is under way as support-\w+, with other data or settings; stop it with facet tune stop support/,
    )
  })

  it('is waiting, running, preempted and done as Vertex AI and its bucket say', async () => {
    expect(await runner().observe(plan, signal)).toBe(undefined)
    await start()
    expect(await observed()).toMatchObject({ state: 'waiting', attempt: 0, cause: { cause: 'LOADING' } })
    fake.newest.state = 'JOB_STATE_RUNNING'
    writes('out/attempts/1/0001.json', '{}')
    writes('out/metrics.jsonl', STEP)
    expect(await observed()).toMatchObject({
      state: 'running',
      attempt: 1,
      preemptions: 0,
      steps: [{ loss: 2 }, {}],
    })
    fake.newest.state = 'JOB_STATE_PENDING'
    expect(await observed()).toMatchObject({ state: 'preempted', attempt: 1, preemptions: 1 })
    fake.newest.state = 'JOB_STATE_RUNNING'
    writes('out/attempts/1/0002.json', '{}')
    expect(await observed()).toMatchObject({ state: 'running', attempt: 2, preemptions: 1 })
    fake.newest.state = 'JOB_STATE_SUCCEEDED'
    writes('out/done.json', '{}')
    expect(await observed()).toMatchObject({ state: 'succeeded' })
  })

  it.each([
    [
      {
        code: 8,
        message: 'Resources are insufficient in region: us-central1. Please try a different region.',
      },
      [],
      'STOCKOUT',
      /no machine of this kind now/,
    ],
    [
      { code: 8, message: 'The following quotas are exceeded: CustomModelTrainingL4GPUsPerProjectPerRegion' },
      [],
      'QUOTA',
      /CustomModelTrainingL4GPUsPerProjectPerRegion/,
    ],
    [
      { code: 7, message: "Permission 'storage.objects.create' denied on resource (or it may not exist)." },
      [],
      'IAM',
      /./,
    ],
    [
      { code: 3, message: 'The replica workerpool0-0 exited with a non-zero status of 1.' },
      ['torch.OutOfMemoryError: CUDA out of memory.'],
      'OOM_DEVICE',
      /lower batchSize/,
    ],
    [
      { code: 3, message: 'The replica workerpool0-0 exited with a non-zero status of 1.' },
      ['{"facet": "error", "message": "There is no space left for /gcs/runs/x; free some"}'],
      'STORAGE',
      /make room/,
    ],
  ])('that has failed has one cause: %j', async (error, log, cause, says) => {
    await start()
    Object.assign(fake.newest, { state: 'JOB_STATE_FAILED', error })
    fake.log = log
    const seen = await observed()
    expect(seen).toMatchObject({ state: 'failed', cause: { cause } })
    expect(seen.cause?.says).toMatch(says)
  })

  it.each([
    [
      new GoogleStatus(
        'RESOURCE_EXHAUSTED',
        'The following quota metrics exceed quota limits: aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus',
      ),
      /^QUOTA: /,
    ],
    [
      new GoogleStatus(
        'PERMISSION_DENIED',
        "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/projects/my-project'",
      ),
      /^IAM: /,
    ],
  ])('that is refused has its cause in one sentence: %s', async (status, said) => {
    google.always('CreateCustomJob', status)
    const { message } = await refusal(start())
    expect(message).toMatch(said)
    expect(fake.jobs.size).toBe(0)
  })

  it('whose bucket takes nothing more during the upload is refused, and no job is made', async () => {
    const message = 'The project to be billed is associated with an absent billing account.'
    fake.refusal = { status: 403, message }
    const { message: said } = await refusal(start())
    expect(said).toMatch(/upload data\/train\.jsonl/)
    expect(fake.jobs.size).toBe(0)
    fake.refusal = undefined
    expect((await start()).applied).toHaveLength(1)
  })

  it('is stopped, and nothing of it is paid for any more', async () => {
    await start()
    const clock = new SkippingClock()
    expect(await runner().stop(plan, { signal, clock })).toMatchObject({
      removed: [{ kind: 'Vertex AI custom job' }],
    })
    expect(fake.newest.state).toBe('JOB_STATE_CANCELLED')
    expect(await observed()).toMatchObject({
      state: 'failed',
      cause: { says: expect.stringMatching(/^It was stopped; run facet tune sft support again/) },
    })
    expect(await runner().stop(plan, { signal, clock })).toEqual({ removed: [], left: [] })
  })

  it('gives its last lines, the newest last', async () => {
    await start()
    fake.log = ['one', 'two']
    expect(await runner().logs(plan, signal)).toEqual(['one', 'two'])
  })
})
