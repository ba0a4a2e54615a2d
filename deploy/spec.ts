/** What stands under `deployments` in facet.config.ts: what is wanted, said once, whatever the place. */
import type { AcceleratorName } from './profiles.ts'
import type { Dtype, ServerName } from './servers.ts'

/** How machines are had, the cheapest or surest first: each is tried where the one before has none. */
export type Capacity = 'reservation' | 'on-demand' | 'flex-start' | 'spot'
export const CAPACITIES: readonly Capacity[] = ['reservation', 'on-demand', 'flex-start', 'spot']

/** What `status`, `up` and a job act on. */
export interface Guard {
  /** `up` refuses a plan whose dollars an hour, at its most replicas, are above this. */
  readonly dollarsPerHour?: number
  /** Spent by the plan's prices since `up`: then the deployment goes down. */
  readonly dollars?: number
  /** After this long the deployment goes down. */
  readonly ttlHours?: number
  /** What going down means: no replicas, or nothing at all that costs money. Default scale-down. */
  readonly then?: 'scale-down' | 'remove'
}

/** How `facet canary` goes from the version that runs to the one that the file describes. */
export interface CanarySpec {
  /** Percent of the requests, rising, below 100. Default 5, 25, 50. */
  readonly steps?: readonly number[]
  /** Each step lasts at least so long. Default 10. */
  readonly stepMinutes?: number
  /** Of the canary, in each step. Default 100. */
  readonly minRequests?: number
  /** A step that has not proven itself by then ends in a rollback. Default 120. */
  readonly patienceMinutes?: number
  /** Share of errors above the stable version's. Default 0.01. */
  readonly errorMargin?: number
  /** Share of slow first tokens above the stable version's. Default 0.05. */
  readonly slowMargin?: number
  /** A first token is slow after this. Default: a quarter above the stable version's 95th percentile. */
  readonly firstTokenMs?: number
}

interface Common {
  /** Such as `gemma-7b-it`, with or without `google/`. */
  readonly model: string
  /** Google Cloud project id. */
  readonly project: string
  readonly region: string
  /** Most tokens of prompt and answer. Default: the model's own, at most 8192. */
  readonly contextTokens?: number
  /** Answers at the same time, each with a full context. Default 4. */
  readonly concurrency?: number
  readonly guard?: Guard
}

/** A LoRA adapter, served beside the model under its own name. */
export interface Adapter {
  /** On Hugging Face, or `gs://…`. */
  readonly source: string
  /** Default 16. */
  readonly rank?: number
}

/** Where the weights come from. */
export type Weights =
  | {
      readonly from: 'huggingface'
      /** Environment variable with a token whose account accepted the licence. Default HF_TOKEN. */
      readonly tokenEnv?: string
      /** Commit, tag or branch. Default main. */
      readonly revision?: string
    }
  | {
      readonly from: 'bucket'
      /** `gs://bucket/folder` with what the server reads: a checkpoint of Hugging Face, or a converted one. */
      readonly uri: string
      /** gcsfuse mounts the bucket, streamer reads it straight into the device (vLLM). Default gcsfuse. */
      readonly loader?: 'gcsfuse' | 'streamer'
    }

interface Accelerated extends Common {
  readonly accelerator?: AcceleratorName
  /** A replica. Default: the fewest that hold one full context. */
  readonly devices?: number
  readonly server?: ServerName
  readonly dtype?: Dtype
  readonly kvDtype?: 'bf16' | 'fp8'
  readonly maxSequences?: number
  /** Default: as many as `concurrency` needs, up to twice that. min 0 scales to zero where the place can. */
  readonly replicas?: { readonly min?: number; readonly max?: number }
  /** Mean lengths, for speed and price. Default: 512 and 256, or what fits the context. */
  readonly traffic?: { readonly promptTokens: number; readonly completionTokens: number }
  readonly weights?: Weights
  readonly canary?: CanarySpec
}

/** A cluster that is found, and made, by Google's API: no kubeconfig is needed. */
export interface ClusterSpec {
  readonly name: string
  /** Its region or zone. Default: the deployment's region. */
  readonly location?: string
  /** `up` makes it where there is none, and `down` removes it. Default false: it must be there. */
  readonly create?: boolean
  /**
   * Who makes the nodes. pool: `up`, in the first zone that has machines of the first capacity. class: GKE,
   * by a ComputeClass. Default: pool where `create` is true, else class.
   */
  readonly nodes?: 'pool' | 'class'
  /** Of the nodes, in the order to try. Default: those of the region that have the accelerator. */
  readonly zones?: readonly string[]
  /** Which one capacity `reservation` takes. Default: any that fits. */
  readonly reservation?: string
}

export interface GkeSpec extends Accelerated {
  readonly target: 'gke-gpu' | 'gke-tpu'
  /** A name: the cluster of that name in the region, by its context in the kubeconfig. Default `facet`. */
  readonly cluster?: string | ClusterSpec
  /** Default `facet`. */
  readonly namespace?: string
  /** Default: on-demand. */
  readonly capacity?: readonly Capacity[]
  readonly adapters?: Readonly<Record<string, Adapter>>
  /**
   * Who reaches it. cluster: only pods of the cluster. internal: the VPC, through the Inference Gateway.
   * public: the Internet, with TLS and sign-in. Default cluster.
   */
  readonly expose?:
    | { readonly to: 'cluster' | 'internal' }
    | {
        readonly to: 'public'
        readonly host: string
        /** Environment variable with the keys that callers may use, separated by commas. */
        readonly keysEnv: string
      }
}

export interface VertexSpec extends Accelerated {
  readonly target: 'vertex-gpu' | 'vertex-tpu'
  /** One kind. Default on-demand. */
  readonly capacity?: readonly ('on-demand' | 'flex-start' | 'spot')[]
  /** Of flex-start: the machines are given back after that long, at most a week, which is the default. */
  readonly flexStartHours?: number
  /** With replicas.min 0: when all replicas go, and how long they stay at least. Default 60 minutes each. */
  readonly scaleToZero?: { readonly idleMinutes?: number; readonly upMinutes?: number }
  /**
   * Google's own recipe out of Model Garden, with its server, arguments and weights; acceptEula says that you
   * accept the model's licence. from: the publisher's weights (the default), or those of Hugging Face.
   */
  readonly garden?: { readonly acceptEula: true; readonly from?: 'publisher' | 'huggingface' }
  /** A same-region Artifact Registry image instead of Google's; then the server's own paths are invoked. */
  readonly image?: string
  /** Whom the containers run as. Default: Vertex AI's own. */
  readonly serviceAccount?: string
}

export interface CloudRunSpec extends Common {
  readonly target: 'cloudrun'
  /** In Artifact Registry, built from deploy/Dockerfile. Default: built and pushed by `up`. */
  readonly image?: string
  /** `gs://bucket/folder` of a model directory made by `facet convert`. */
  readonly modelDirectory: string
  /**
   * bucket: mounted and read as an instance starts. image: copied into the image by the build, so that an
   * instance starts without the bucket, and another model is another image. Default bucket.
   */
  readonly modelIn?: 'bucket' | 'image'
  readonly vcpus?: 1 | 2 | 4 | 6 | 8
  readonly memoryGiB?: number
  readonly maxInstances?: number
  /** Default false: callers need roles/run.invoker. */
  readonly public?: boolean
  /** Environment variable with the API keys that callers may use. */
  readonly keysEnv?: string
  readonly canary?: CanarySpec
}

export interface WorkersSpec {
  readonly target: 'workers'
  /** model: a small model runs in the Worker. gateway: it routes to the endpoints of this file. */
  readonly mode: 'model' | 'gateway'
  /** Of mode model: a model directory of at most 64 MB. Files above 25 MiB put it into a bucket of R2. */
  readonly modelDirectory?: string
  /** A domain of yours on Cloudflare; default: workers.dev. */
  readonly domain?: string
  readonly keysEnv?: string
  readonly guard?: Guard
  readonly canary?: CanarySpec
}

export type DeploymentSpec = GkeSpec | VertexSpec | CloudRunSpec | WorkersSpec
