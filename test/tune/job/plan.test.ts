/** Plans of tunings: what they take and cost, the same for the same, and refused with figures where nothing fits. */
import { describe, expect, it } from 'vitest'
import type { JobPlan } from '../../../src/tune/job/job.ts'
import { deadlineHours, plan } from '../../../src/tune/job/plan.ts'
import { toText } from '../../../src/tune/job/report.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { data, reward, rlhf, sft, slice } from './specs.ts'

const planned = (more: Partial<TuneSpec> = {}, spec: TuneSpec = sft): JobPlan =>
  plan('bees', { ...spec, ...more }, data)
const refusal = (
  more: Partial<TuneSpec>,
  spec: TuneSpec = sft,
): { message: string; code: string; field: string } => {
  try {
    planned(more, spec)
  } catch (error) {
    return error as { message: string; code: string; field: string }
  }
  return expect.unreachable('it was planned')
}

describe('the plan of a tuning', () => {
  it.each([
    ['LoRA on one L4', sft],
    ['QLoRA of the 7B', { ...sft, model: 'gemma-7b', method: 'qlora', guard: { dollars: 20 } }],
    [
      'full tuning over eight devices',
      { ...sft, model: 'gemma-7b', method: 'full', accelerator: 'h100-80gb' },
    ],
    ['full tuning over the hosts of a slice', slice],
    ['a reward model', reward],
    ['a policy', rlhf],
    ['Vertex AI', { ...sft, on: 'vertex' }],
    ['this machine', { kind: 'sft', on: 'local-docker', model: 'gemma-2b', data: 'train.jsonl' }],
  ] as const)('is the same for the same spec, and says what it takes: %s', (_, spec) => {
    const one = plan('bees', spec, data)
    expect(one).toEqual(plan('bees', spec, data))
    expect(toText(one)).toMatchSnapshot()
    expect(one.settings).toMatchSnapshot()
  })

  it('names another run for everything that decides the result, and for nothing else', () => {
    const { run } = planned()
    expect(run).toMatch(/^bees-[0-9a-f]{10}$/)
    const same = [
      { capacity: 'spot' },
      { queue: 'tune' },
      { guard: { ttlHours: 3 } },
      { namespace: 'ml' },
    ] as const
    for (const more of same) expect(planned(more).run).toBe(run)
    const others = [{ model: 'gemma-7b' }, { method: 'full' }, { lora: { rank: 8 } }, { devices: 2 }] as const
    const hyper = [{ seed: 1 }, { epochs: 2 }, { learningRate: 1e-5 }].map((hyperparameters) => ({
      hyperparameters,
    }))
    const runs = [...others, ...hyper].map((more) => planned(more).run)
    expect(new Set([run, ...runs]).size).toBe(runs.length + 1)
    const changed = plan('bees', sft, { train: { ...data.train, sha256: 'b'.repeat(64) } })
    expect(changed.run).not.toBe(run)
  })

  it('copies the model where it fits a device, and shards it where it does not', () => {
    expect(planned({ devices: 4 }).machines?.sharding).toEqual({ data: 4, fsdp: 1, tensor: 1 })
    expect(planned({ model: 'gemma-7b' }).machines).toMatchObject({
      devices: 2,
      sharding: { data: 1, fsdp: 2, tensor: 1 },
    })
    expect(planned({}, slice).machines).toMatchObject({
      devices: 16,
      hosts: 4,
      topology: '4x4',
      machine: { type: 'ct5lp-hightpu-4t' },
      sharding: { data: 1, fsdp: 8, tensor: 2 },
    })
  })

  it('takes 18 bytes a weight for full tuning in mixed precision', () => {
    const { memory } = planned({ method: 'full', accelerator: 'a100-80gb', devices: 1 }).machines!
    const parameters = 2_506_172_416
    expect(memory.weightBytes + memory.gradientBytes + memory.optimizerBytes).toBe(18 * parameters)
  })

  it('starts a process for each device, and one where JAX drives them all', () => {
    expect(planned({ devices: 4 }).command).toEqual([
      ...['python3', '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=4', 'sft_trl.py'],
    ])
    expect(planned({}, slice).command).toEqual(['python3', 'sft_maxtext.py'])
  })

  it('ends the job when the guard is reached, whichever limit comes first', () => {
    expect(deadlineHours(planned())).toBeUndefined()
    expect(deadlineHours(planned({ guard: { ttlHours: 3 } }))).toBe(3)
    const { dollarsPerHour } = planned().machines!
    expect(deadlineHours(planned({ guard: { ttlHours: 30, dollars: 11 } }))).toBeCloseTo(11 / dollarsPerHour!)
  })

  it('costs what its machines and the cluster cost, less on spot', () => {
    expect(planned().machines?.dollarsPerHour).toBeCloseTo(1.0004 + 0.1)
    expect(planned({ capacity: 'spot' }).machines?.dollarsPerHour).toBeCloseTo(0.3993 + 0.1)
    expect(planned({ on: 'vertex' }).machines?.dollarsPerHour).toBeCloseTo(1.0004 * 1.15)
  })
})

describe('a plan is refused', () => {
  it('where an update would part the samples of a prompt', () => {
    const odd = (devices: number): unknown =>
      plan(
        'bees',
        { ...rlhf, devices, hyperparameters: { gradientAccumulation: 3, samplesPerPrompt: 6 } },
        data,
      )
    expect(() => odd(1)).toThrow(
      'hyperparameters.samplesPerPrompt: batchSize (1) times gradientAccumulation (3) times devices (1) is 3 answers in each update, which is no multiple of 6; change one of them.',
    )
    expect(() => odd(2)).not.toThrow()
  })

  it('with figures and what would fit, where memory does not suffice', () => {
    expect(refusal({ model: 'gemma-7b', method: 'full' })).toMatchObject({
      code: 'out_of_memory',
      field: 'accelerator',
      message:
        'accelerator: full tuning of gemma-7b takes 28.3 GB of each of 8 x NVIDIA L4 (weights 9.08 GB, gradients 4.27 GB, optimizer 8.54 GB, activations 6.38 GB), and 21.6 GB of 24 GB can be used; it fits with method lora, or method qlora, or 8 x a100-40gb, or 4 x a100-80gb.',
    })
    expect(refusal({ model: 'gemma-7b', devices: 1 }).message).toMatch(
      /it fits with (contextTokens|2 devices)/,
    )
    expect(refusal({ hyperparameters: { batchSize: 8 }, devices: 1 }).message).toContain(
      'it fits with batchSize 1',
    )
  })

  it('with what it offers: every remedy holds', () => {
    const { message } = refusal({ model: 'gemma-7b', method: 'full' })
    for (const [, method] of message.matchAll(/method (lora|qlora)/g))
      expect(planned({ model: 'gemma-7b', method: method as 'lora' }).machines).toBeDefined()
    for (const [, devices, accelerator] of message.matchAll(/(\d+) x (a100-\w+)/g))
      expect(
        planned({
          model: 'gemma-7b',
          method: 'full',
          accelerator: accelerator as 'a100-40gb',
          devices: Number(devices),
        }).machines,
      ).toBeDefined()
  })

  it.each([
    [
      'devices',
      { devices: 3 },
      /^devices: 3 x NVIDIA L4 is not to be had for this; devices may be 1, 2, 4, 8\.$/,
    ],
    ['hosts', { hosts: 2 }, /^hosts: 2 x a host of NVIDIA L4 is not to be had/],
    ['with', { with: 'maxtext', kind: 'reward' }, /^with: MaxText is not used for reward here; trl is\.$/],
    ['method', { with: 'keras', method: 'qlora' }, /^method: Keras .* does lora and full, not qlora\.$/],
    ['accelerator', { accelerator: 'tpu-v5e' }, /^accelerator: Hugging Face TRL is run on gpus, not on tpus/],
    [
      'backend',
      { with: 'keras', backend: 'torch', accelerator: 'tpu-v5e' },
      /^backend: Keras on TPUs needs jax/,
    ],
    ['model', { with: 'maxtext', method: 'full', model: 'gemma-3-1b-it' }, /takes gemma-3-4b/],
    [
      'hyperparameters.contextTokens',
      { hyperparameters: { contextTokens: 9000 } },
      /was trained for 8192 tokens/,
    ],
    ['guard.dollarsPerHour', { guard: { dollarsPerHour: 1 } }, /bees costs \$1\.10 an hour/],
    [
      'guard.dollars',
      { guard: { dollars: 1 }, accelerator: 'tpu-v5e', region: 'us-west4', with: 'maxtext', method: 'full' },
      /no price is on file/,
    ],
  ] as const)('naming the field: %s', (field, more, says) => {
    const { message, field: named } = refusal(more as Partial<TuneSpec>)
    expect(message).toMatch(says)
    expect(named).toBe(field)
  })
})
