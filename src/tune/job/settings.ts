/** What job.json says: every setting of a run as the scripts inside the job read it. */
import type { JsonObject } from '../../../deploy/target.ts'
import { FacetError } from '../../errors.ts'
import { LORA_MODULES, type LoraModule } from '../../gemma/lora-config.ts'
import type { Sharding } from './job.ts'
import type { Hyperparameters, TuneKind, TuneMethod, TuneSpec } from './spec.ts'

/** Absolute paths inside the job; the same letters stand in job.json under `paths`. */
export interface JobPaths {
  readonly train: string
  readonly eval?: string
  /** Where everything that the job writes goes. */
  readonly out: string
  /** A folder with the adapter, or the model, to go on from. */
  readonly startFrom?: string
  readonly rewardModel?: string
}

/** Hyperparameters with nothing left to choose. */
export type ChosenHyperparameters = Required<Omit<Hyperparameters, 'maxSteps'>> &
  Pick<Hyperparameters, 'maxSteps'>

export interface ChosenLora {
  readonly rank: number
  readonly alpha: number
  readonly dropout: number
  readonly modules: readonly LoraModule[]
}

const CONTEXT_TOKENS = 2048

/** @param mostTokens that the model was trained for */
export function chooseHyperparameters(spec: TuneSpec, mostTokens: number): ChosenHyperparameters {
  const given = spec.hyperparameters ?? {}
  return {
    epochs: 1,
    learningRate: learningRateOf(spec.kind, spec.method ?? 'lora'),
    batchSize: 1,
    gradientAccumulation: 8,
    contextTokens: Math.min(CONTEXT_TOKENS, mostTokens),
    seed: 0,
    saveEverySteps: 50,
    klCoefficient: 0.05,
    samplesPerPrompt: 4,
    answerTokens: 256,
    ...given,
  }
}

/**
 * An update takes whole groups of samples: each is compared with the others of its prompt.
 *
 * @throws FacetError invalid_request
 */
export function checkSamples(chosen: ChosenHyperparameters, { data, fsdp }: Sharding): void {
  const { batchSize, gradientAccumulation, samplesPerPrompt } = chosen
  const answers = batchSize * gradientAccumulation * data * fsdp
  if (answers % samplesPerPrompt === 0) return
  throw new FacetError(
    'invalid_request',
    `hyperparameters.samplesPerPrompt: batchSize (${batchSize}) times gradientAccumulation (${gradientAccumulation}) times devices (${data * fsdp}) is ${answers} answers in each update, which is no multiple of ${samplesPerPrompt}; change one of them.`,
    { field: 'hyperparameters.samplesPerPrompt' },
  )
}

/** A reward model starts as low as full tuning does; a policy is moved more gently than either. */
function learningRateOf(kind: TuneKind, method: TuneMethod): number {
  if (method !== 'full') return kind === 'rlhf' ? 1e-5 : 1e-4
  return kind === 'rlhf' ? 1e-6 : 1e-5
}

export function chooseLora({ lora = {} }: TuneSpec): ChosenLora {
  const rank = lora.rank ?? 16
  return {
    rank,
    alpha: lora.alpha ?? 2 * rank,
    dropout: lora.dropout ?? 0.05,
    modules: (lora.modules as readonly LoraModule[] | undefined) ?? LORA_MODULES,
  }
}

export interface SettingsInput {
  readonly spec: TuneSpec
  /** On Hugging Face, such as `google/gemma-2b`. */
  readonly repository: string
  readonly framework: string
  readonly hyperparameters: ChosenHyperparameters
  readonly paths: JobPaths
  readonly sharding: Sharding
  readonly hosts: number
}

/**
 * All of job.json but `run`: what decides the result. `max_steps`, `eval`, `start_from`, `reward_model`,
 * `backend` and `lora` are null where they do not apply.
 */
export function toSettings(input: SettingsInput): JsonObject {
  const { spec, repository, framework, hyperparameters: chosen, paths, sharding, hosts } = input
  const method = spec.method ?? 'lora'
  return {
    format: 1,
    kind: spec.kind,
    framework,
    backend: framework === 'keras' ? (spec.backend ?? 'jax') : null,
    model: repository,
    method,
    lora: method === 'full' ? null : { ...chooseLora(spec) },
    hyperparameters: {
      epochs: chosen.epochs,
      max_steps: chosen.maxSteps ?? null,
      learning_rate: chosen.learningRate,
      batch_size: chosen.batchSize,
      gradient_accumulation: chosen.gradientAccumulation,
      context_tokens: chosen.contextTokens,
      seed: chosen.seed,
      save_every_steps: chosen.saveEverySteps,
      ...(spec.kind === 'rlhf' && {
        kl_coefficient: chosen.klCoefficient,
        samples_per_prompt: chosen.samplesPerPrompt,
        answer_tokens: chosen.answerTokens,
      }),
    },
    sharding: { ...sharding },
    hosts,
    paths: {
      train: paths.train,
      eval: paths.eval ?? null,
      out: paths.out,
      start_from: paths.startFrom ?? null,
      reward_model: paths.rewardModel ?? null,
    },
  }
}
