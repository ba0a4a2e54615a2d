/** What is to be served on Kubernetes, with every choice made: the manifests follow from this alone. */
import { FacetError } from '../../src/errors.ts'
import { checkIdentity, type Identity } from './object.ts'

/** A key of a Secret that somebody else keeps; its value never stands in a manifest. */
export interface SecretKey {
  readonly name: string
  readonly key: string
}

export interface BucketFolder {
  readonly bucket: string
  readonly folder: string
}

/** Of `gs://bucket/folder`, without slashes at its ends; the folder is empty for a bucket itself. */
export function toBucketFolder(uri: string): BucketFolder {
  const [, bucket = '', folder = ''] = /^gs:\/\/([^/]+)\/?(.*?)\/*$/.exec(uri) ?? []
  return { bucket, folder }
}

export type Weights =
  /** Downloaded by the server; gated models need the token of somebody who has accepted the licence. */
  | { readonly from: 'hugging-face'; readonly token: SecretKey }
  /** A folder of a Cloud Storage bucket, mounted with GCS FUSE. */
  | ({ readonly from: 'bucket' } & BucketFolder)
  /** The same folder, read by vLLM's streamer straight into the accelerator's memory. */
  | ({ readonly from: 'streamer' } & BucketFolder)

/** Node labels that GKE sets, and what a pod asks of such a node. */
export type Accelerator =
  | {
      readonly type: 'gpu'
      /** Value of cloud.google.com/gke-accelerator. Left out: any node with NVIDIA GPUs. */
      readonly label?: string
      readonly count: number
    }
  | {
      readonly type: 'tpu'
      /** Value of cloud.google.com/gke-tpu-accelerator. */
      readonly label: string
      /** Value of cloud.google.com/gke-tpu-topology, such as `2x4`. */
      readonly topology: string
      /** Chips of one node; the slice must be a single host. */
      readonly count: number
    }

export interface HostResources {
  /** Kubernetes quantities. */
  readonly cpu: string
  readonly memory: string
  readonly ephemeralStorage: string
}

/** A LoRA adapter, under the name that requests give as their model. */
export interface Adapter {
  readonly name: string
  /** A Hugging Face repository, or a folder of a bucket, which is mounted with GCS FUSE. */
  readonly source: string | BucketFolder
  /** Default 16. */
  readonly rank?: number
}

interface Common extends Identity {
  readonly image: string
  readonly accelerator: Accelerator
  readonly resources: HostResources
  /** Time that download, loading and compiling may take; until then nothing restarts the server. */
  readonly loadMs: number
  /** Only nodes of this ComputeClass, which picks reservation, on-demand, flex-start or spot. */
  readonly computeClass?: string
  /** Only spot nodes; ignored under a ComputeClass. */
  readonly spot?: boolean
  /** Google service account that the pods act as. Left out: the Kubernetes one is granted roles directly. */
  readonly googleServiceAccount?: string
}

export interface VllmServing extends Common {
  readonly server: 'vllm'
  /** Hugging Face id, such as `google/gemma-7b-it`. */
  readonly model: string
  /** Commit of the Hugging Face repository; left out: its main branch. */
  readonly revision?: string
  /** What clients ask for. Default: the model's id. */
  readonly servedName?: string
  readonly weights: Weights
  readonly dtype: 'bfloat16' | 'float16'
  /** Of the weights, made while they load. */
  readonly quantization?: 'fp8'
  readonly tensorParallel: number
  /** Most tokens of prompt and answer together. */
  readonly contextTokens: number
  /** Default: as `dtype`. */
  readonly kvCacheDtype?: 'fp8_e5m2' | 'fp8_e4m3'
  /** Sequences decoded at once. Default: vLLM's own. */
  readonly maxSequences?: number
  /** Share of the GPU's memory that vLLM may fill, 0 < share <= 1. */
  readonly memoryShare: number
  readonly adapters?: readonly Adapter[]
  /** Callers must then send it as a bearer token. */
  readonly apiKey?: SecretKey
}

export interface TensorRtServing extends Common {
  readonly server: 'tensorrt-llm'
  /** The served name. */
  readonly model: string
  /** Folder of the bucket with Triton's model repository and the engines built for this accelerator. */
  readonly weights: Extract<Weights, { from: 'bucket' }>
}

export interface JetstreamServing extends Common {
  readonly server: 'jetstream'
  readonly model: string
  readonly weights: Extract<Weights, { from: 'hugging-face' }>
  /** Sequences decoded at once. */
  readonly batchSize: number
  readonly httpImage: string
}

export interface MaxtextServing extends Common {
  readonly server: 'jetstream-maxtext'
  /** MaxText's own name, such as `gemma-7b`. */
  readonly model: string
  readonly weights: {
    readonly from: 'kaggle'
    /** For example `google/gemma/maxtext/7b-it/2`. */
    readonly handle: string
    /** Holds kaggle.json. */
    readonly secret: string
    /** Where the conversion writes and the server reads. */
    readonly bucket: string
    /** Image of the conversion. */
    readonly image: string
  }
  /** Sequences decoded at once on each chip. */
  readonly batchSize: number
  readonly httpImage: string
}

export type Serving = VllmServing | TensorRtServing | JetstreamServing | MaxtextServing

/** Port on which every server answers HTTP inside its pod. */
export const HTTP_PORT = 8000

/** `v0.11.2` of `docker.io/vllm/vllm-openai:v0.11.2`. */
export function toImageTag(image: string): string {
  const tag = /:([\w][\w.-]*)(?:@sha256:[0-9a-f]{64})?$/.exec(image)?.[1]
  if (tag !== undefined && tag !== 'latest') return tag
  throw new FacetError(
    'invalid_request',
    `image must name a fixed version, such as vllm/vllm-openai:v0.11.2, but is ${JSON.stringify(image)}.`,
    { field: 'image' },
  )
}

/** @throws FacetError invalid_request for what can only be a mistake */
export function checkServing(serving: Serving): void {
  checkIdentity(serving)
  toImageTag(serving.image)
  if (serving.server === 'vllm') {
    const { accelerator, tensorParallel, adapters = [], servedName, model } = serving
    if (accelerator.type !== 'gpu' || tensorParallel !== accelerator.count)
      throw problem(
        'tensorParallel',
        `must be the number of GPUs a pod asks for (${accelerator.count}), but is ${tensorParallel}: the others would be paid for and idle`,
      )
    const names = [servedName ?? model, ...adapters.map(({ name }) => name)]
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) throw problem('adapters', `has the name ${twice} twice; each needs its own`)
  } else if (serving.server !== 'tensorrt-llm' && serving.accelerator.type !== 'tpu') {
    throw problem('accelerator', 'must be a TPU for JetStream, which runs on nothing else')
  }
}

function problem(field: string, message: string): FacetError {
  return new FacetError('invalid_request', `${field} ${message}.`, { field })
}
