/** What stands under `tunings` in facet.config.ts: what is to be trained, on what, where, said once. */
import type { AcceleratorName } from '../../../deploy/profiles.ts'
import type { TrainerName } from '../../integrations/trainers.ts'

export const TUNE_KINDS = ['sft', 'reward', 'rlhf'] as const
export type TuneKind = (typeof TUNE_KINDS)[number]

export const TUNE_PLACES = ['gke', 'vertex', 'local-docker'] as const
export type TunePlace = (typeof TUNE_PLACES)[number]

/** What is trained: small matrices beside frozen weights, beside frozen weights in 4 bits, or everything. */
export const TUNE_METHODS = ['lora', 'qlora', 'full'] as const
export type TuneMethod = (typeof TUNE_METHODS)[number]

export const KERAS_BACKENDS = ['jax', 'torch', 'tensorflow'] as const
export type KerasBackend = (typeof KERAS_BACKENDS)[number]

/** How a job's machines are had. Spot machines may be taken away: the job goes on from its last checkpoint. */
export const TUNE_CAPACITIES = ['on-demand', 'spot'] as const
export type TuneCapacity = (typeof TUNE_CAPACITIES)[number]

export interface LoraSpec {
  /** Default 16. */
  readonly rank?: number
  /** Default: twice the rank. */
  readonly alpha?: number
  /** From 0 to 1. Default 0.05. */
  readonly dropout?: number
  /** Such as `q_proj`. Default: every linear layer. */
  readonly modules?: readonly string[]
}

export interface Hyperparameters {
  /** Passes over the data. Default 1. */
  readonly epochs?: number
  /** Ends earlier than `epochs`, after so many updates of the weights. */
  readonly maxSteps?: number
  /** Default 1e-4 with lora and qlora, 1e-5 with full, 1e-6 for rlhf with full. */
  readonly learningRate?: number
  /** Rows on each device in one pass. Default 1. */
  readonly batchSize?: number
  /** Passes before an update of the weights. Default 8. */
  readonly gradientAccumulation?: number
  /** Longest row in tokens. Default: the model's own, at most 2048. */
  readonly contextTokens?: number
  /** Default 0. */
  readonly seed?: number
  /** Updates between two checkpoints. Default 50. */
  readonly saveEverySteps?: number
  /** Of rlhf: weight of the KL term that holds the policy near the model it started from. Default 0.05. */
  readonly klCoefficient?: number
  /** Of rlhf: answers that are sampled for each prompt and compared with each other. Default 4. */
  readonly samplesPerPrompt?: number
  /** Of rlhf: longest answer that is sampled, in tokens. Default 256. */
  readonly answerTokens?: number
}

/** When spending ends. */
export interface TuneGuard {
  /** A start is refused whose dollars an hour, by the plan's prices, are above this. */
  readonly dollarsPerHour?: number
  /** The job is ended after as many hours as this buys by the plan's prices. */
  readonly dollars?: number
  /** The job is ended after so long, waiting in a queue not counted. */
  readonly ttlHours?: number
}

export interface TuneSpec {
  readonly kind: TuneKind
  readonly on: TunePlace
  /** The framework that trains. Default trl. */
  readonly with?: TrainerName
  /** Of keras. Default jax. */
  readonly backend?: KerasBackend
  /** Such as `gemma-2b`, with or without `google/`. */
  readonly model: string
  /** JSON lines of `facet tune data`: files beside facet.config.ts, or `gs://bucket/file`. */
  readonly data: string
  /** The same, held out. Left out: nothing is evaluated while training. */
  readonly evalData?: string
  /** An adapter to go on from, `gs://…` or a folder: of rlhf, the SFT model that the KL term holds to. */
  readonly startFrom?: string
  /** Of rlhf: result of a tuning of kind reward, `gs://…` or a folder. */
  readonly rewardModel?: string
  /** Default lora. */
  readonly method?: TuneMethod
  readonly lora?: LoraSpec
  readonly hyperparameters?: Hyperparameters
  /** On gke and vertex. Default l4, or tpu-v5e with maxtext. */
  readonly accelerator?: AcceleratorName
  /** Of all hosts together. Default: the fewest that it fits. */
  readonly devices?: number
  /** Machines, which follow from `devices`: named, they must agree with them. More than one: TPU only. */
  readonly hosts?: number
  /** Default on-demand. */
  readonly capacity?: TuneCapacity
  /** After so many preemptions the job ends. Default 20. */
  readonly maxPreemptions?: number
  /** `gs://bucket` or `gs://bucket/folder` for data, checkpoints and results; on local-docker a folder will do. */
  readonly bucket?: string
  readonly project?: string
  readonly region?: string
  /** Of GKE: the cluster of that name in the region, by its context in the kubeconfig. Default `facet`. */
  readonly cluster?: string
  /** Of GKE. Default `facet`. */
  readonly namespace?: string
  /** Of GKE: a LocalQueue of Kueue in the namespace. Left out: the job starts at once. */
  readonly queue?: string
  /** Of GKE and Vertex AI: Google service account that the job acts as. Left out: see docs/tuning.md. */
  readonly serviceAccount?: string
  /** Environment variable with a Hugging Face token whose account accepted the licence. Default HF_TOKEN. */
  readonly tokenEnv?: string
  readonly guard?: TuneGuard
}
