/** The frameworks that tuning jobs run: what each can train, on what, in which image, with which packages. */
import { frameworkOf, requirements } from './catalog.ts'
import type { Framework } from './framework.ts'
import { BITSANDBYTES } from './hugging-face.ts'

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
  readonly methods: readonly ('lora' | 'qlora' | 'full')[]
  readonly kinds: readonly ('sft' | 'reward' | 'rlhf')[]
  /** How it spreads over the devices of a host: a process for each, or one for all. */
  readonly processes: 'device' | 'host'
  readonly source: { readonly what: string; readonly date: string }
}

/** Nothing but Python: everything else comes from PyPI. */
const PYTHON = 'docker.io/library/python:3.12.12-slim-bookworm'

type Row = Pick<Trainer, 'images' | 'methods' | 'kinds' | 'processes'>

const image = (framework: Framework): string => framework.image ?? PYTHON

const ROWS: Readonly<Record<TrainerName, Row>> = {
  trl: {
    images: { gpu: image(frameworkOf('trl')) },
    methods: ['lora', 'qlora', 'full'],
    kinds: ['sft', 'reward', 'rlhf'],
    processes: 'device',
  },
  keras: {
    images: { gpu: PYTHON, tpu: PYTHON },
    methods: ['lora', 'full'],
    kinds: ['sft'],
    processes: 'host',
  },
  maxtext: {
    images: { tpu: image(frameworkOf('maxtext')) },
    methods: ['lora', 'full'],
    kinds: ['sft'],
    processes: 'host',
  },
  nemo: {
    images: { gpu: image(frameworkOf('nemo')) },
    methods: ['lora', 'qlora', 'full'],
    kinds: ['sft'],
    processes: 'device',
  },
}

/** What Keras computes with. */
const BACKENDS: Readonly<Record<'jax' | 'torch' | 'tensorflow', Readonly<Record<'gpu' | 'tpu', string>>>> = {
  jax: { gpu: 'jax[cuda12]==0.10.2', tpu: 'jax[tpu]==0.10.2' },
  torch: { gpu: 'torch==2.14.1', tpu: 'torch==2.14.1' },
  tensorflow: { gpu: 'tensorflow[and-cuda]==2.20.0', tpu: 'tensorflow==2.20.0' },
}

export function trainer(name: TrainerName): Trainer {
  const framework = frameworkOf(name)
  const source = { what: framework.source.url, date: framework.source.looked }
  return { name, title: framework.title, version: framework.version, ...ROWS[name], source }
}

export interface PackageChoice {
  readonly device: 'gpu' | 'tpu'
  readonly backend: 'jax' | 'torch' | 'tensorflow'
  readonly method: 'lora' | 'qlora' | 'full'
}

/** What the trainer's image lacks, pinned, as pip takes it. Images of a framework's own bring everything. */
export function packagesOf(
  { name }: Pick<Trainer, 'name'>,
  { device, backend, method }: PackageChoice,
): readonly string[] {
  if (name === 'maxtext' || name === 'nemo') return []
  const own = requirements(frameworkOf(name))
  if (name === 'keras') return [...own, BACKENDS[backend][device]]
  return method === 'qlora' ? [...own, `${BITSANDBYTES.name}==${BITSANDBYTES.version}`] : own
}
