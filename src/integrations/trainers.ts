/** The frameworks that train, as data with source and date: images, versions, commands, and what each can do. */

export const TRAINERS = ['trl', 'keras', 'maxtext', 'nemo'] as const
export type TrainerName = (typeof TRAINERS)[number]

export interface Trainer {
  readonly name: TrainerName
  /** For people: `Hugging Face TRL`. */
  readonly title: string
  /** Of the framework itself. */
  readonly version: string
  /** With a fixed tag, by the accelerator's kind; none: it does not run there. */
  readonly images: Readonly<Partial<Record<'gpu' | 'tpu', string>>>
  /** Packages that the image lacks, pinned, as pip takes them. */
  readonly packages: readonly string[]
  readonly methods: readonly ('lora' | 'qlora' | 'full')[]
  readonly kinds: readonly ('sft' | 'reward' | 'rlhf')[]
  /** How it spreads over the devices of a host: a process for each, or one for all. */
  readonly processes: 'device' | 'host'
  readonly source: { readonly what: string; readonly date: string }
}

const ROWS: Readonly<Record<TrainerName, Omit<Trainer, 'name'>>> = {
  trl: {
    title: 'Hugging Face TRL',
    version: '0.24.0',
    images: { gpu: 'docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime' },
    packages: [
      'trl==0.24.0',
      'transformers==4.57.1',
      'peft==0.17.1',
      'datasets==4.2.0',
      'accelerate==1.11.0',
      'bitsandbytes==0.48.1',
    ],
    methods: ['lora', 'qlora', 'full'],
    kinds: ['sft', 'reward', 'rlhf'],
    processes: 'device',
    source: { what: 'pypi.org and hub.docker.com, versions that appeared together', date: '2025-10' },
  },
  keras: {
    title: 'Keras',
    version: '3.12.0',
    images: {
      gpu: 'us-docker.pkg.dev/deeplearning-platform-release/gcr.io/tensorflow-gpu.2-17.py310:m129',
      tpu: 'docker.io/library/python:3.12.12-slim-bookworm',
    },
    packages: ['keras==3.12.0', 'keras-hub==0.23.0'],
    methods: ['lora', 'full'],
    kinds: ['sft'],
    processes: 'host',
    source: { what: 'pypi.org: keras, keras-hub', date: '2025-10' },
  },
  maxtext: {
    title: 'MaxText',
    version: '0.1.0',
    images: { tpu: 'docker.io/library/python:3.12.12-slim-bookworm' },
    packages: ['maxtext==0.1.0'],
    methods: ['full'],
    kinds: ['sft'],
    processes: 'host',
    source: { what: 'pypi.org: maxtext', date: '2025-10' },
  },
  nemo: {
    title: 'NVIDIA NeMo',
    version: '25.09',
    images: { gpu: 'nvcr.io/nvidia/nemo:25.09' },
    packages: [],
    methods: ['lora', 'full'],
    kinds: ['sft'],
    processes: 'device',
    source: { what: 'catalog.ngc.nvidia.com: NeMo framework', date: '2025-10' },
  },
}

export function trainer(name: TrainerName): Trainer {
  return { name, ...ROWS[name] }
}
