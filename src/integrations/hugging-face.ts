/** Hugging Face: transformers, PEFT and TRL. */
import { type Framework, type Package, type Support, seen } from './framework.ts'

const TRANSFORMERS: Package = { name: 'transformers', version: '5.18.0' }
const PEFT: Package = { name: 'peft', version: '0.21.0' }
const TRL: Package = { name: 'trl', version: '1.13.0' }
const ACCELERATE: Package = { name: 'accelerate', version: '1.15.0' }
const DATASETS: Package = { name: 'datasets', version: '5.0.1' }
/** For 4-bit base weights (QLoRA) alone. */
export const BITSANDBYTES: Package = { name: 'bitsandbytes', version: '0.49.2' }

const PYPI = seen('https://pypi.org/project/transformers/5.18.0/')

const since = (version: string): Support => ({
  state: 'supported',
  since: version,
  source: seen(`https://github.com/huggingface/transformers/releases/tag/v${version}`),
})

/** PEFT and TRL train whatever transformers loads, so that its version decides. */
const asTransformers = (url: string): Framework['support'] => {
  const support: Support = {
    state: 'supported',
    because: 'It takes every model that the installed transformers loads.',
    source: seen(url),
  }
  return { gemma: support, gemma2: support, gemma3_text: support }
}

export const transformers: Framework = {
  name: 'transformers',
  title: 'Hugging Face transformers',
  kind: 'library',
  version: TRANSFORMERS.version,
  packages: [TRANSFORMERS, ACCELERATE],
  source: PYPI,
  support: { gemma: since('4.38.0'), gemma2: since('4.42.0'), gemma3_text: since('4.50.0') },
  recipes: [
    { does: 'install', commands: ['pip install {packages}'], source: PYPI },
    {
      does: 'download',
      commands: ['hf download {hub} --local-dir "$OUT"'],
      source: seen('https://huggingface.co/docs/huggingface_hub/guides/cli'),
    },
  ],
}

export const peft: Framework = {
  name: 'peft',
  title: 'Hugging Face PEFT',
  kind: 'library',
  version: PEFT.version,
  packages: [PEFT, TRANSFORMERS, ACCELERATE],
  source: seen('https://pypi.org/project/peft/0.21.0/'),
  support: asTransformers('https://huggingface.co/docs/peft/index'),
  recipes: [
    {
      does: 'install',
      commands: ['pip install {packages}'],
      source: seen('https://pypi.org/project/peft/0.21.0/'),
    },
    {
      // The adapter as PEFT writes it is what Facet reads.
      does: 'export',
      commands: ['facet merge "$CHECKPOINT" "$ADAPTER" "$OUT"'],
      source: seen('https://huggingface.co/docs/peft/developer_guides/checkpoint'),
    },
  ],
}

export const trl: Framework = {
  name: 'trl',
  title: 'Hugging Face TRL',
  kind: 'training',
  version: TRL.version,
  image: 'docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-devel',
  packages: [TRL, TRANSFORMERS, PEFT, ACCELERATE, DATASETS],
  source: seen('https://github.com/huggingface/trl/blob/v1.9.0/docker/trl/Dockerfile'),
  support: asTransformers('https://github.com/huggingface/trl/blob/v1.9.0/pyproject.toml'),
  recipes: [
    {
      does: 'install',
      commands: ['pip install {packages}'],
      source: seen('https://pypi.org/project/trl/1.13.0/'),
    },
    {
      does: 'sft',
      commands: [
        'trl sft --model_name_or_path {hub} --dataset_name "$DATA" --use_peft --lora_r 8 --output_dir "$OUT"',
      ],
      source: seen('https://huggingface.co/docs/trl/clis'),
    },
  ],
}
