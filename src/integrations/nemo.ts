/** NVIDIA's NeMo: AutoModel, which trains from Hugging Face checkpoints, and what has left Gemma 1 behind. */
import { type Framework, type Support, seen } from './framework.ts'

const AUTOMODEL = seen(
  'https://github.com/NVIDIA-NeMo/Automodel/blob/v0.5.0/docs/model-coverage/llm/google/gemma.md',
)
const BRIDGE = seen('https://docs.nvidia.com/nemo/megatron-bridge/0.6.0/models/README.html')
const SPLIT = seen('https://github.com/NVIDIA-NeMo/Speech/releases/tag/v3.0.0')
const NEMO_2502 = seen('https://docs.nvidia.com/nemo-framework/user-guide/25.02/llms/gemma.html')

const covered: Support = { state: 'supported', since: '0.1.0', source: AUTOMODEL }

export const nemo: Framework = {
  name: 'nemo',
  title: 'NeMo AutoModel',
  kind: 'training',
  version: '0.5.0',
  image: 'nvcr.io/nvidia/nemo-automodel:26.06.00',
  packages: [{ name: 'nemo-automodel', version: '0.5.0' }],
  source: seen('https://github.com/NVIDIA-NeMo/Automodel/blob/main/CONTRIBUTING.md'),
  support: { gemma: covered, gemma2: covered, gemma3_text: covered },
  recipes: [
    { does: 'install', commands: ['pip install {packages}'], source: AUTOMODEL },
    {
      does: 'sft',
      generations: ['gemma'],
      commands: [
        'automodel examples/llm_finetune/gemma/gemma_7b_squad_peft.yaml --model.pretrained_model_name_or_path {hub} --checkpoint.enabled true --checkpoint.checkpoint_dir "$OUT"',
      ],
      source: seen(
        'https://github.com/NVIDIA-NeMo/Automodel/blob/v0.5.0/examples/llm_finetune/gemma/gemma_7b_squad_peft.yaml',
      ),
    },
    {
      does: 'sft',
      generations: ['gemma2'],
      commands: [
        'automodel examples/llm_finetune/gemma/gemma_2_9b_it_squad_peft.yaml --model.pretrained_model_name_or_path {hub} --checkpoint.enabled true --checkpoint.checkpoint_dir "$OUT"',
      ],
      source: seen(
        'https://github.com/NVIDIA-NeMo/Automodel/blob/v0.5.0/examples/llm_finetune/gemma/gemma_2_9b_it_squad_peft.yaml',
      ),
    },
    {
      does: 'sft',
      generations: ['gemma3_text'],
      commands: [
        'automodel examples/llm_finetune/gemma/gemma_3_270m_squad_peft.yaml --model.pretrained_model_name_or_path {hub} --checkpoint.enabled true --checkpoint.checkpoint_dir "$OUT"',
      ],
      source: seen(
        'https://github.com/NVIDIA-NeMo/Automodel/blob/v0.5.0/examples/llm_finetune/gemma/gemma_3_270m_squad_peft.yaml',
      ),
    },
  ],
}

const leaving: Support = {
  state: 'dropped',
  until: '0.6.0',
  because: 'Megatron Bridge 0.6.0 deprecates Gemma 1 and 2, and says that 0.7.0 removes them.',
  instead: 'nemo',
  source: BRIDGE,
}

export const megatronBridge: Framework = {
  name: 'megatron-bridge',
  title: 'NeMo Megatron Bridge',
  kind: 'training',
  version: '0.7.0',
  packages: [{ name: 'megatron-bridge', version: '0.7.0' }],
  source: seen('https://github.com/NVIDIA-NeMo/Megatron-Bridge/releases/tag/v0.7.0'),
  support: {
    gemma: leaving,
    gemma2: leaving,
    gemma3_text: { state: 'supported', since: '0.6.0', source: BRIDGE },
  },
  recipes: [
    {
      does: 'convert',
      commands: ['./scripts/conversion/convert.sh import --hf-model {hub} --megatron-path "$OUT"'],
      source: seen('https://docs.nvidia.com/nemo/megatron-bridge/0.6.0/models/gemma/gemma.html'),
    },
  ],
}

const gone = (because: string): Support => ({
  state: 'dropped',
  since: '25.02',
  because,
  instead: 'nemo',
  source: SPLIT,
})

export const nemo2: Framework = {
  name: 'nemo-2',
  title: 'NeMo 2 (nemo.collections.llm)',
  kind: 'training',
  version: '3.0.0',
  packages: [],
  source: SPLIT,
  support: {
    gemma: gone(
      'The repository became NeMo Speech: release 3.0.0 has no nemo.collections.llm, and with it went the recipes for Gemma 1.',
    ),
    gemma2: gone(
      'The repository became NeMo Speech: release 3.0.0 has no nemo.collections.llm, and with it went the recipes for Gemma 2.',
    ),
    gemma3_text: {
      state: 'unconfirmed',
      because: 'No page was found that says which releases of NeMo 2 took Gemma 3.',
      instead: 'nemo',
      source: NEMO_2502,
    },
  },
  recipes: [],
}
