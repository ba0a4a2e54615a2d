/** Servers: vLLM on GPUs and TPUs, TensorRT-LLM in its two ways, JetStream. */
import { type Framework, type Support, seen } from './framework.ts'

const REGISTRY = seen('https://docs.vllm.ai/en/v0.6.1/models/supported_models.html')

export const vllm: Framework = {
  name: 'vllm',
  title: 'vLLM',
  kind: 'serving',
  version: '0.10.0',
  image: 'docker.io/vllm/vllm-openai:v0.10.0',
  packages: [{ name: 'vllm', version: '0.10.0' }],
  source: seen('https://github.com/GoogleCloudPlatform/kubernetes-engine-samples'),
  support: {
    gemma: {
      state: 'supported',
      since: '0.3.2',
      source: seen('https://github.com/vllm-project/vllm/pull/2968'),
    },
    gemma2: {
      state: 'supported',
      since: '0.6.1',
      because: 'Versions before 0.6.1 were not looked at.',
      source: REGISTRY,
    },
    gemma3_text: {
      state: 'supported',
      since: '0.8.0',
      source: seen('https://github.com/vllm-project/vllm/releases/tag/v0.8.0'),
    },
  },
  recipes: [
    { does: 'install', commands: ['pip install {packages}'], source: REGISTRY },
    {
      does: 'serve',
      commands: ['vllm serve {hub} --dtype bfloat16 --port 8000'],
      source: seen('https://docs.vllm.ai/en/v0.10.0/cli/serve.html'),
    },
  ],
}

const TPU_MATRIX = seen(
  'https://github.com/vllm-project/tpu-inference/blob/main/support_matrices/nightly/v6e/vllm/model_support_matrix.csv',
)
const untested: Support = {
  state: 'unconfirmed',
  because: 'It is not among the models that vLLM for TPUs is tested with.',
  instead: 'jetstream',
  source: TPU_MATRIX,
}

export const vllmTpu: Framework = {
  name: 'vllm-tpu',
  title: 'vLLM on TPU',
  kind: 'serving',
  version: '0.11.1',
  image: 'docker.io/vllm/vllm-tpu:v0.11.1',
  packages: [],
  source: seen('https://github.com/google/tunix/blob/main/README.md'),
  support: {
    gemma: untested,
    gemma2: { ...untested, instead: 'maxtext' },
    gemma3_text: {
      state: 'supported',
      because: 'Tested with the 27B; since which version was not found.',
      source: TPU_MATRIX,
    },
  },
  recipes: [
    {
      does: 'serve',
      generations: ['gemma3_text'],
      commands: [
        'docker run --privileged --net=host --shm-size 16g -e HF_TOKEN docker.io/vllm/vllm-tpu:v0.11.1 vllm serve {hub} --port 8000',
      ],
      source: seen('https://docs.vllm.ai/projects/tpu/en/latest/getting_started/installation/'),
    },
  ],
}

const TORCH_MODELS = seen(
  'https://github.com/NVIDIA/TensorRT-LLM/blob/main/docs/source/models/supported-models.md',
)
const RELEASES = seen('https://github.com/NVIDIA/TensorRT-LLM/blob/main/docs/source/release-notes.md')
const TRT_IMAGE = 'nvcr.io/nvidia/tensorrt-llm/release:1.2.0'

const notInTorch = (generation: string): Support => ({
  state: 'never',
  because: `The PyTorch backend, the only one since the TensorRT engines were removed in July 2026, does not list ${generation}.`,
  instead: 'vllm',
  source: TORCH_MODELS,
})

export const tensorrtLlm: Framework = {
  name: 'tensorrt-llm',
  title: 'TensorRT-LLM (PyTorch backend)',
  kind: 'serving',
  version: '1.2.0',
  image: TRT_IMAGE,
  packages: [{ name: 'tensorrt_llm', version: '1.2.0' }],
  source: RELEASES,
  support: {
    gemma: notInTorch('Gemma 1'),
    gemma2: notInTorch('Gemma 2'),
    gemma3_text: {
      state: 'supported',
      since: '0.20.0',
      because: 'The 1B from 0.20.0, LoRA from 1.0.',
      source: RELEASES,
    },
  },
  recipes: [
    {
      does: 'serve',
      commands: ['trtllm-serve {hub} --host 0.0.0.0 --port 8000'],
      source: seen('https://nvidia.github.io/TensorRT-LLM/legacy/tensorrt-backend-removal.html'),
    },
  ],
}

const EXAMPLES = seen(
  'https://github.com/NVIDIA/TensorRT-LLM/blob/v1.2.0/examples/models/core/gemma/README.md',
)
const engines = (since: string): Support => ({
  state: 'dropped',
  since,
  until: '1.2.0',
  because:
    'The TensorRT engines were removed from TensorRT-LLM in July 2026; 1.2.0 is the last release whose documents were seen to have them.',
  instead: 'vllm',
  source: seen('https://nvidia.github.io/TensorRT-LLM/legacy/tensorrt-backend-removal.html'),
})

export const tensorrtLlmEngine: Framework = {
  name: 'tensorrt-llm-engine',
  title: 'TensorRT-LLM (TensorRT engines)',
  kind: 'serving',
  version: '1.2.0',
  image: TRT_IMAGE,
  packages: [{ name: 'tensorrt_llm', version: '1.2.0' }],
  source: EXAMPLES,
  support: {
    gemma: engines('0.9.0'),
    gemma2: {
      ...engines('1.0'),
      because:
        'The TensorRT engines were removed in July 2026. Gemma 2 is in the examples of the releases before; since which was not found.',
    },
    gemma3_text: { ...engines('0.19.0'), instead: 'tensorrt-llm' },
  },
  recipes: [
    {
      does: 'convert',
      commands: [
        'hf download {hub} --local-dir checkpoint',
        'python3 examples/models/core/gemma/convert_checkpoint.py --ckpt-type hf --model-dir checkpoint --dtype bfloat16 --world-size 1 --output-model-dir converted',
        'trtllm-build --checkpoint_dir converted --gemm_plugin auto --max_batch_size 8 --max_input_len 3000 --max_seq_len 3100 --output_dir "$OUT"',
      ],
      source: EXAMPLES,
    },
  ],
}

const JETSTREAM_MODELS = seen(
  'https://github.com/AI-Hypercomputer/jetstream-pytorch/blob/main/jetstream_pt/fetch_models.py',
)
const neverOnJetstream: Support = {
  state: 'never',
  because: 'JetStream for PyTorch knows Gemma 1 alone.',
  instead: 'vllm-tpu',
  source: JETSTREAM_MODELS,
}

export const jetstream: Framework = {
  name: 'jetstream',
  title: 'JetStream (PyTorch)',
  kind: 'serving',
  version: '0.2.4',
  image: 'us-docker.pkg.dev/cloud-tpu-images/inference/jetstream-pytorch-server:v0.2.4',
  packages: [],
  source: seen('https://github.com/GoogleCloudPlatform/kubernetes-engine-samples'),
  support: {
    gemma: {
      state: 'supported',
      because: 'The 1.1 models are not in its list; since which version was not found.',
      source: JETSTREAM_MODELS,
    },
    gemma2: { ...neverOnJetstream, instead: 'maxtext' },
    gemma3_text: neverOnJetstream,
  },
  recipes: [
    {
      does: 'serve',
      generations: ['gemma'],
      commands: [
        'docker run --privileged --net=host -e HF_TOKEN us-docker.pkg.dev/cloud-tpu-images/inference/jetstream-pytorch-server:v0.2.4 --model_id={hub} --override_batch_size=30 --enable_model_warmup=True',
      ],
      source: seen('https://github.com/GoogleCloudPlatform/kubernetes-engine-samples'),
    },
  ],
}
