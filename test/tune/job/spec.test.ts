/** What may stand under tunings: the first problem, with its field, its nearest word and what to do. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfigProblem } from '../../../src/check.ts'
import { checkTunings } from '../../../src/tune/job/spec-check.ts'
import { rlhf, sft } from './specs.ts'

const problem = (spec: unknown, name = 'bees'): string | undefined => {
  try {
    checkTunings({ [name]: spec }, ['tunings'])
    return undefined
  } catch (error) {
    if (error instanceof ConfigProblem) return error.message
    throw error
  }
}

describe('what stands under tunings', () => {
  it('may be all that a tuning takes', () => {
    const full = {
      ...rlhf,
      with: 'trl',
      evalData: 'gs://my-bucket/eval.jsonl',
      method: 'qlora',
      lora: { rank: 8, alpha: 16, dropout: 0, modules: ['q_proj', 'v_proj'] },
      hyperparameters: {
        epochs: 0.5,
        maxSteps: 100,
        learningRate: 1e-5,
        batchSize: 2,
        gradientAccumulation: 4,
        contextTokens: 1024,
        seed: 0,
        saveEverySteps: 20,
        klCoefficient: 0.1,
        samplesPerPrompt: 4,
        answerTokens: 128,
      },
      accelerator: 'a100-40gb',
      devices: 1,
      hosts: 1,
      capacity: 'spot',
      maxPreemptions: 5,
      cluster: 'training',
      namespace: 'ml',
      queue: 'tune',
      serviceAccount: 'tuner@my-project.iam.gserviceaccount.com',
      tokenEnv: 'HUB_TOKEN',
      guard: { dollarsPerHour: 5, dollars: 40, ttlHours: 12 },
    }
    expect(problem(full)).toBeUndefined()
    expect(problem({ kind: 'sft', on: 'local-docker', model: 'gemma-2b', data: 'a.jsonl' })).toBeUndefined()
  })

  it.each([
    [
      { ...sft, kind: 'stf' },
      'tunings.bees.kind must be one of sft, reward, rlhf, but is "stf"; did you mean sft?',
    ],
    [
      { ...sft, on: 'gek' },
      'tunings.bees.on must be one of gke, vertex, local-docker, but is "gek"; did you mean gke?',
    ],
    [{ ...sft, metod: 'lora' }, 'tunings.bees.metod is not known; did you mean method?'],
    [{ ...sft, with: 'maxtex' }, 'did you mean maxtext?'],
    [{ ...sft, model: 'gemma-2bb' }, 'did you mean gemma-2b?'],
    [{ ...sft, accelerator: 'h100' }, 'tunings.bees.accelerator must be one of'],
    [{ ...sft, lora: { rank: 0 } }, 'tunings.bees.lora.rank must be a whole number from 1 to 256, but is 0.'],
    [{ ...sft, lora: { modules: ['q_prj'] } }, 'did you mean q_proj?'],
    [
      { ...sft, hyperparameters: { epoch: 1 } },
      'tunings.bees.hyperparameters.epoch is not known; did you mean epochs?',
    ],
    [{ ...sft, region: 'us-centrall1' }, 'did you mean us-central1?'],
    [{ ...sft, bucket: 'my-bucket' }, 'tunings.bees.bucket must be a place in a bucket'],
    [{ ...sft, bucket: undefined }, 'tunings.bees lacks bucket, which gke needs'],
    [{ ...sft, data: 'gs://' }, 'tunings.bees.data must be a place in a bucket'],
    [
      { ...sft, method: 'full', lora: {} },
      'tunings.bees.lora has no effect with method full; leave one of the two out.',
    ],
    [{ ...sft, backend: 'jax' }, 'tunings.bees.backend is chosen with keras only; leave it out.'],
    [{ ...sft, on: 'vertex', queue: 'tune' }, 'tunings.bees.queue has no effect on vertex; leave it out.'],
    [
      { ...sft, on: 'local-docker' },
      'tunings.bees.bucket must lie on this machine with local-docker; pull it first.',
    ],
    [
      { ...sft, startFrom: 'my-adapter' },
      'must be gs://…, or the name of a tuning of this file, but is "my-adapter".',
    ],
    [
      { ...sft, rewardModel: 'gs://my-bucket/r' },
      'tunings.bees.rewardModel has no effect on sft; leave it out.',
    ],
    [{ ...rlhf, rewardModel: undefined }, 'tunings.bees lacks rewardModel, which rlhf needs'],
    [{ ...sft, hyperparameters: { klCoefficient: 1 } }, 'klCoefficient has no effect on sft; leave it out.'],
    [{ ...sft, tokenEnv: 'hf_abc.def' }, 'must be the name of an environment variable'],
    [{ ...sft, serviceAccount: 'tuner' }, 'must be the e-mail address of a Google service account'],
  ] as const)('%#: is told what is wrong', (spec, says) => {
    expect(problem(spec)).toContain(says)
  })

  it('has names that pods can have', () => {
    expect(problem(sft, 'Bees')).toContain('must be a name of at most 30 lower-case letters')
    expect(problem(sft, 'b'.repeat(31))).toContain('must be a name of at most 30')
  })

  it('may go on from another tuning by its name', () => {
    const judge = { ...sft, kind: 'reward' }
    const policy = { ...rlhf, startFrom: 'bees', rewardModel: 'judge' }
    expect(() => checkTunings({ bees: sft, judge, policy }, ['tunings'])).not.toThrow()
    expect(() => checkTunings({ bees: sft, policy }, ['tunings'])).toThrow(
      /rewardModel must be gs:\/\/…, or the name/,
    )
  })

  it('never ends in anything but a sentence, whatever it is', () => {
    fc.assert(
      fc.property(fc.record({ ...recordOf(sft), extra: fc.anything() }, { requiredKeys: [] }), (spec) => {
        const said = problem(spec)
        if (said !== undefined) expect(said).toMatch(/^tunings\.bees.*[.?]$/s)
      }),
      { seed: 7, numRuns: 300 },
    )
  })
})

/** Each field as it is, or anything else. */
function recordOf(spec: object): Record<string, fc.Arbitrary<unknown>> {
  return Object.fromEntries(
    Object.entries(spec).map(([name, value]) => [
      name,
      fc.oneof({ weight: 6, arbitrary: fc.constant(value) }, fc.anything()),
    ]),
  )
}
