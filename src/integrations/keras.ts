/** Keras 3 with KerasHub, on JAX, PyTorch or TensorFlow. */
import { type Framework, type Source, seen } from './framework.ts'

const presets = (version: string): Source => seen(`https://github.com/keras-team/keras-hub/tree/v${version}`)
const EXPORT = seen(
  'https://github.com/keras-team/keras-hub/blob/v0.31.1/keras_hub/src/utils/transformers/export/hf_exporter.py',
)

export const keras: Framework = {
  name: 'keras',
  title: 'Keras 3, KerasHub',
  kind: 'training',
  version: '0.31.1',
  packages: [
    { name: 'keras-hub', version: '0.31.1' },
    { name: 'keras', version: '3.15.1' },
    { name: 'kagglehub', version: '1.0.2' },
    { name: 'huggingface-hub', version: '2.0.0' },
    { name: 'safetensors', version: '0.8.0' },
  ],
  source: seen('https://github.com/keras-team/keras-hub/blob/v0.31.1/pyproject.toml'),
  support: {
    gemma: {
      state: 'supported',
      since: '0.8.0',
      because: 'Before 0.15 the package is called keras-nlp.',
      source: presets('0.8.0'),
    },
    gemma2: {
      state: 'supported',
      since: '0.14.0',
      because: 'The 2B from 0.14.2; no exporter to the Hugging Face layout.',
      source: presets('0.14.2'),
    },
    gemma3_text: {
      state: 'supported',
      since: '0.19.3',
      because: 'The 270M from 0.22.0.',
      source: presets('0.22.0'),
    },
  },
  recipes: [
    { does: 'install', commands: ['pip install {packages}'], source: presets('0.31.1') },
    {
      does: 'download',
      commands: [
        `python -c 'import keras_hub; keras_hub.models.CausalLM.from_preset("{keras}").save_to_preset("out")'`,
      ],
      source: seen('https://keras.io/keras_hub/api/base_classes/causal_lm/'),
    },
    {
      // Gemma 1 from 0.22.0, Gemma 3 from 0.26.0. Gemma 2 shares Gemma 1's class, whose exporter knows only Gemma 1.
      does: 'export',
      generations: ['gemma', 'gemma3_text'],
      commands: [
        `python -c 'import keras_hub; keras_hub.models.CausalLM.from_preset("out").export_to_transformers("hf")'`,
        'facet convert hf "$OUT"',
      ],
      source: EXPORT,
    },
    {
      does: 'export',
      generations: ['gemma2'],
      commands: ['facet convert out "$OUT"'],
      source: EXPORT,
    },
  ],
}
