/** MaxText on TPUs and GPUs: training in JAX, with conversions from and to Hugging Face. */
import { type Framework, seen } from './framework.ts'

const CONVERT = seen(
  'https://github.com/AI-Hypercomputer/maxtext/blob/maxtext-v0.2.3/docs/guides/checkpointing_solutions/convert_checkpoint.md',
)
const MODELS = seen(
  'https://github.com/AI-Hypercomputer/maxtext/tree/maxtext-v0.2.3/src/maxtext/configs/models',
)
const GEMMA_1 = seen(
  'https://github.com/AI-Hypercomputer/maxtext/blob/main/tests/end_to_end/tpu/gemma/2b/test_gemma.sh',
)
const COMMON = 'hardware=cpu skip_jax_distributed_system=true use_multimodal=false'

export const maxtext: Framework = {
  name: 'maxtext',
  title: 'MaxText',
  kind: 'training',
  version: '0.2.3',
  image: 'us-docker.pkg.dev/cloud-tpu-images/maxtext-images/tpu_post_training:0.2.3',
  packages: [{ name: 'maxtext[tpu-post-train]', version: '0.2.3' }],
  source: seen('https://github.com/AI-Hypercomputer/maxtext/blob/main/docs/tutorials/build_maxtext.md'),
  support: {
    gemma: {
      state: 'supported',
      since: '0.1.0',
      because:
        'It is converted from the Flax checkpoint on Kaggle; upstream has no converter back to the Hugging Face layout for it.',
      source: GEMMA_1,
    },
    gemma2: { state: 'supported', since: '0.1.0', source: MODELS },
    gemma3_text: {
      state: 'supported',
      since: '0.1.0',
      sizes: ['gemma-3-4b', 'gemma-3-12b', 'gemma-3-27b'],
      source: MODELS,
    },
  },
  recipes: [
    {
      does: 'install',
      commands: ['UV_TORCH_BACKEND=cpu uv pip install {packages} --resolution=lowest'],
      source: seen('https://github.com/AI-Hypercomputer/maxtext/blob/main/docs/install_maxtext.md'),
    },
    {
      does: 'convert',
      generations: ['gemma'],
      commands: [
        'python3 -m maxtext.checkpoint_conversion.standalone_scripts.convert_gemma_chkpt --base_model_path "$FLAX/{size}" --maxtext_model_path "$BUCKET/{maxtext}" --model_size {size}',
      ],
      source: GEMMA_1,
    },
    {
      does: 'convert',
      generations: ['gemma2', 'gemma3_text'],
      commands: [
        `python3 -m maxtext.checkpoint_conversion.to_maxtext model_name={maxtext} base_output_directory="$BUCKET/{maxtext}" scan_layers=True ${COMMON} --hf_model_path={hub} --save_dtype=bfloat16`,
      ],
      source: CONVERT,
    },
    {
      does: 'sft',
      commands: [
        'python3 -m maxtext.trainers.post_train.sft.train_sft run_name="$RUN" base_output_directory="$BUCKET" model_name={maxtext} load_parameters_path="$BUCKET/{maxtext}/0/items" per_device_batch_size=1 steps="$STEPS" hf_path="$DATA" train_split=train train_data_columns=\'["messages"]\'',
      ],
      source: seen(
        'https://github.com/AI-Hypercomputer/maxtext/blob/main/docs/tutorials/posttraining/sft.md',
      ),
    },
    {
      does: 'export',
      generations: ['gemma2', 'gemma3_text'],
      commands: [
        `python3 -m maxtext.checkpoint_conversion.to_huggingface model_name={maxtext} load_parameters_path="$CHECKPOINT" base_output_directory="$OUT" ${COMMON} weight_dtype=bfloat16`,
      ],
      source: CONVERT,
    },
  ],
}
