/** What GKE is sent for a tuning: valid, without what the lint knows as defects, and safe on spot machines. */
import { describe, expect, it } from 'vitest'
import { at, listOf } from '../../../deploy/k8s/json.ts'
import { lint } from '../../../deploy/k8s/lint.ts'
import type { Json, JsonObject } from '../../../deploy/target.ts'
import { wantGkeJob } from '../../../src/tune/job/gke.ts'
import { plan } from '../../../src/tune/job/plan.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { problemsOf, schemaOf } from '../../deploy/k8s/schema.ts'
import { data, reward, rlhf, sft, slice } from './specs.ts'

const inputs = { secretOf: () => 'hf_secretsecret', scripts: { 'sft_trl.py': 'print(1)\n' } }
const objectsOf = (spec: TuneSpec): JsonObject[] =>
  wantGkeJob(plan('bees', spec, data), inputs).map(({ body }) => body)
const jobOf = (spec: TuneSpec): JsonObject => objectsOf(spec).at(-1)!
const podOf = (spec: TuneSpec): JsonObject => {
  const job = jobOf(spec)
  const [replicated] = listOf(at(job, 'spec', 'replicatedJobs'))
  return at(replicated ? at(replicated, 'template') : job, 'spec', 'template', 'spec') as JsonObject
}
const container = (spec: TuneSpec): JsonObject => listOf(podOf(spec).containers)[0]!

const SPECS: readonly (readonly [string, TuneSpec])[] = [
  ['LoRA on spot machines, in a queue', { ...sft, capacity: 'spot', queue: 'tune', guard: { ttlHours: 4 } }],
  ['a slice of several hosts', { ...slice, queue: 'tune' }],
  ['a reward model', reward],
  ['a policy', rlhf],
  ['data in a bucket', { ...sft, data: 'gs://data/bees/train.jsonl', evalData: 'gs://data/bees/eval.jsonl' }],
]

describe('what GKE is sent', () => {
  it.each(SPECS)('is the same for the same plan: %s', (_, spec) => {
    expect(wantGkeJob(plan('bees', spec, data))).toMatchSnapshot()
  })

  it.each(SPECS)('is what the schemas allow, and nothing that the lint knows: %s', (_, spec) => {
    const objects = objectsOf(spec)
    for (const object of objects) {
      const schema = schemaOf(String(object.apiVersion), String(object.kind))!
      expect(problemsOf(schema, object)).toEqual([])
    }
    expect(lint(objects)).toEqual([])
  })

  it.each(SPECS)('never shows a token outside its Secret: %s', (_, spec) => {
    const [secret, ...others] = objectsOf(spec).toSorted((one) => (one.kind === 'Secret' ? -1 : 1))
    expect(at(secret, 'data', 'token')).toBe(Buffer.from('hf_secretsecret').toString('base64'))
    expect(JSON.stringify(others)).not.toContain('hf_secretsecret')
  })

  it('names pods that are not too long for Kubernetes, whatever the tuning is called', () => {
    const name = 'b'.repeat(30)
    const [job] = wantGkeJob(plan(name, slice, data)).slice(-1)
    expect(`${job!.name}-host-0-15-abcde`.length).toBeLessThanOrEqual(63)
  })
})

describe('the lint', () => {
  it('looks into the pods of a JobSet', () => {
    const job = jobOf(slice)
    const text = JSON.stringify(job).replaceAll('$(FACET_LAUNCH)', `$\{FACET_LAUNCH}`)
    expect(lint([JSON.parse(text) as Json])).toMatchObject([
      {
        rule: 'shell-variable',
        object: expect.stringMatching(/^JobSet\/tune-bees-/),
        field: 'spec.replicatedJobs[0].template.spec.template.spec.containers[0].command[3]',
      },
    ])
  })
})

describe('a pod that trains', () => {
  it('on GPUs is nobody special, and writes nowhere but where it must', () => {
    expect(podOf(sft)).toMatchObject({
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      securityContext: { runAsNonRoot: true, runAsUser: 2000 },
    })
    expect(container(sft)).toMatchObject({
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
      resources: { limits: { 'nvidia.com/gpu': '1' } },
    })
    const writable = listOf(container(sft).volumeMounts).filter(({ readOnly }) => readOnly !== true)
    expect(writable.map(({ mountPath }) => mountPath)).toEqual(['/cache', '/tmp', '/dev/shm', '/run-folder'])
  })

  it('on a slice asks for its chips, its topology, and all hosts at once', () => {
    expect(podOf(slice).nodeSelector).toEqual({
      'cloud.google.com/gke-tpu-accelerator': 'tpu-v5-lite-podslice',
      'cloud.google.com/gke-tpu-topology': '4x4',
    })
    expect(container(slice)).toMatchObject({ resources: { limits: { 'google.com/tpu': '4' } } })
    const [replicated] = listOf(at(jobOf(slice), 'spec', 'replicatedJobs'))
    expect(at(replicated, 'template', 'spec')).toMatchObject({
      parallelism: 4,
      completions: 4,
      completionMode: 'Indexed',
      backoffLimit: 0,
    })
  })

  it('on spot machines tolerates them, and a preemption is no crash', () => {
    const spot = { ...sft, capacity: 'spot' } as const
    expect(podOf(spot)).toMatchObject({
      nodeSelector: { 'cloud.google.com/gke-spot': 'true', 'cloud.google.com/gke-accelerator': 'nvidia-l4' },
      tolerations: expect.arrayContaining([expect.objectContaining({ key: 'cloud.google.com/gke-spot' })]),
    })
    expect(at(jobOf(spot), 'spec')).toMatchObject({
      backoffLimit: 2,
      podFailurePolicy: {
        rules: [
          { action: 'FailJob', onExitCodes: { values: [77] } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] },
        ],
      },
    })
  })

  it('in a queue is held until Kueue lets it go', () => {
    const queued = jobOf({ ...sft, queue: 'tune' })
    expect(at(queued, 'metadata', 'labels', 'kueue.x-k8s.io/queue-name')).toBe('tune')
    expect(at(queued, 'spec', 'suspend')).toBe(true)
    expect(at(jobOf(sft), 'spec', 'suspend')).toBeUndefined()
  })

  it('is reached by nobody, and reaches other hosts only where it has some', () => {
    const policy = (spec: TuneSpec): Json | undefined =>
      objectsOf(spec).find(({ kind }) => kind === 'NetworkPolicy')!.spec
    expect(policy(sft)).toMatchObject({ ingress: [] })
    expect(at(policy(slice), 'ingress')).toHaveLength(1)
    expect(listOf(at(policy(slice), 'egress'))).toHaveLength(listOf(at(policy(sft), 'egress')).length + 1)
  })

  it('finds data, adapter and reward model where job.json says they are', () => {
    const far = { ...rlhf, data: 'gs://data/bees/train.jsonl' }
    const { settings } = plan('bees', far, data)
    expect(settings.paths).toEqual({
      train: '/inputs/train/train.jsonl',
      eval: null,
      out: '/run-folder/out',
      start_from: '/inputs/start',
      reward_model: '/inputs/reward',
    })
    const mounts = listOf(container(far).volumeMounts).map(({ mountPath }) => mountPath)
    expect(mounts).toEqual(expect.arrayContaining(['/inputs/train', '/inputs/start', '/inputs/reward']))
    const train = listOf(podOf(far).volumes).find(({ name }) => name === 'train')
    expect(at(train, 'csi', 'volumeAttributes')).toMatchObject({
      bucketName: 'data',
      mountOptions: expect.stringMatching(/^only-dir=bees,/),
    })
  })
})
