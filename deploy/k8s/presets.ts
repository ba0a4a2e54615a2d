/** The servings that k8s/ holds as YAML: Gemma 7B on every accelerator, ready to apply without Facet. */
import type { Capacity } from './capacity.ts'
import type { Gateway } from './gateway.ts'
import type { KedaScaling } from './scaling.ts'
import type { JetstreamServing, MaxtextServing, Serving, TensorRtServing, VllmServing } from './serving.ts'

const MINUTE_MS = 60_000

/** Any node with one NVIDIA GPU of 24 GB or more: bf16 weights of 15.9 GiB leave room for some 6,000 tokens. */
export const BASE: VllmServing = {
  name: 'gemma',
  server: 'vllm',
  image: 'docker.io/vllm/vllm-openai:v0.11.2',
  model: 'google/gemma-7b-it',
  weights: { from: 'hugging-face', token: { name: 'hugging-face', key: 'token' } },
  dtype: 'bfloat16',
  tensorParallel: 1,
  contextTokens: 4096,
  memoryShare: 0.9,
  accelerator: { type: 'gpu', count: 1 },
  resources: { cpu: '8', memory: '32Gi', ephemeralStorage: '40Gi' },
  loadMs: 20 * MINUTE_MS,
}

const gpu = (label: string, count: number, rest: Partial<VllmServing> = {}): VllmServing => ({
  ...BASE,
  accelerator: { type: 'gpu', label, count },
  tensorParallel: count,
  contextTokens: 8192,
  ...rest,
})

const TPU_HOST = { cpu: '32', memory: '96Gi', ephemeralStorage: '80Gi' }
const HTTP_IMAGE = 'us-docker.pkg.dev/cloud-tpu-images/inference/jetstream-http:v0.2.3'

const JETSTREAM: JetstreamServing = {
  name: 'gemma',
  server: 'jetstream',
  image: 'us-docker.pkg.dev/cloud-tpu-images/inference/jetstream-pytorch-server:v0.2.4',
  httpImage: HTTP_IMAGE,
  model: 'google/gemma-7b-it',
  weights: { from: 'hugging-face', token: { name: 'hugging-face', key: 'token' } },
  batchSize: 30,
  accelerator: { type: 'tpu', label: 'tpu-v5-lite-podslice', topology: '2x4', count: 8 },
  resources: TPU_HOST,
  loadMs: 50 * MINUTE_MS,
}

const MAXTEXT: MaxtextServing = {
  name: 'gemma',
  server: 'jetstream-maxtext',
  image: 'us-docker.pkg.dev/cloud-tpu-images/inference/maxengine-server:v0.2.0',
  httpImage: HTTP_IMAGE,
  model: 'gemma-7b',
  weights: {
    from: 'kaggle',
    handle: 'google/gemma/maxtext/7b-it/2',
    secret: 'kaggle',
    bucket: 'gemma-weights',
    image: 'us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.4',
  },
  batchSize: 4,
  accelerator: JETSTREAM.accelerator,
  resources: TPU_HOST,
  loadMs: 30 * MINUTE_MS,
}

const TENSORRT: TensorRtServing = {
  name: 'gemma',
  server: 'tensorrt-llm',
  image: 'nvcr.io/nvidia/tritonserver:24.12-trtllm-python-py3',
  model: 'ensemble',
  weights: { from: 'bucket', bucket: 'gemma-weights', folder: 'tensorrt-llm/7b-it' },
  accelerator: { type: 'gpu', label: 'nvidia-l4', count: 1 },
  resources: { cpu: '8', memory: '40Gi', ephemeralStorage: '40Gi' },
  loadMs: 20 * MINUTE_MS,
}

/** By folder in k8s/overlays. */
export const OVERLAYS: Readonly<Record<string, Serving>> = {
  'gke-l4': gpu('nvidia-l4', 1, { contextTokens: 4096 }),
  'gke-l4-x2': gpu('nvidia-l4', 2, { resources: { cpu: '20', memory: '64Gi', ephemeralStorage: '40Gi' } }),
  'gke-a100-40gb': gpu('nvidia-tesla-a100', 1),
  'gke-a100-80gb': gpu('nvidia-a100-80gb', 1),
  'gke-h100': gpu('nvidia-h100-80gb', 1),
  'gke-h100-bucket': gpu('nvidia-h100-80gb', 1, {
    weights: { from: 'bucket', bucket: 'gemma-weights', folder: 'hugging-face/gemma-7b-it' },
  }),
  'gke-l4-tensorrt-llm': TENSORRT,
  'gke-tpu-v5e': JETSTREAM,
  'gke-tpu-v6e': {
    ...JETSTREAM,
    accelerator: { type: 'tpu', label: 'tpu-v6e-slice', topology: '2x2', count: 4 },
  },
  'gke-tpu-v5e-maxtext': MAXTEXT,
}

/** Overlays that stand behind a Gateway. */
export const BEHIND_GATEWAY: readonly string[] = ['gke-h100']

/** What people change first; see docs/kubernetes.md. */
export const SCALING: KedaScaling = {
  minReplicas: 1,
  maxReplicas: 4,
  waitingPerPod: 5,
  project: 'my-project',
}

export const GATEWAY: Gateway = {
  exposure: { to: 'vpc' },
  proxyRange: '10.129.0.0/23',
  pickerImage: 'registry.k8s.io/gateway-api-inference-extension/epp:v1.4.0',
}

export const L4_CAPACITY: Capacity = {
  name: 'gemma-l4',
  machineType: 'g2-standard-12',
  gpu: { label: 'nvidia-l4', count: 1 },
  sources: [{ type: 'on-demand' }, { type: 'flex-start', maxRunMs: 24 * 60 * MINUTE_MS }, { type: 'spot' }],
}
