/** Notebooks that start in a minute on Colab and Kaggle: chat, tuning by LoRA, evaluation. */
import { readFileSync } from 'node:fs'
import { FacetError } from '../errors.ts'
import { GEMMA_TERMS, PROHIBITED_USES } from '../gemma/terms.ts'
import { frameworkOf, requirements } from '../integrations/catalog.ts'
import { type Cell, codeCell, markdownCell, type Notebook } from './format.ts'

export const PLATFORMS = ['colab', 'kaggle'] as const
export type Platform = (typeof PLATFORMS)[number]
export const PURPOSES = ['chat', 'sft', 'eval'] as const
export type Purpose = (typeof PURPOSES)[number]

export interface NotebookOptions {
  readonly platform: Platform
  readonly purpose: Purpose
  /** On Hugging Face: `google/gemma-2b-it`. */
  readonly model: string
  /** Of this package, from npm. */
  readonly facetVersion: string
}

/** For `facet pull`, which needs it, and the Node.js that runs both. */
const NPM_BESIDE = ['node@24.21.0', '@huggingface/hub@2.17.5']

/** The cells of a kind: each a file of `python/`, and what is said before it. */
const CELLS: Readonly<Record<Purpose, readonly (readonly [file: string, said: string])[]>> = {
  chat: [
    ['load', '## With transformers'],
    ['ask', ''],
    [
      'facet',
      "## With Facet's own server\n\nThe same model in 4 bits, on the CPU, behind an API that OpenAI's clients speak.",
    ],
    ['serve', ''],
  ],
  sft: [
    ['load', '## The model'],
    ['ask', ''],
    ['data', '## The data\n\nUpload a `train.jsonl` of your own, or try it with the few rows here.'],
    [
      'train',
      '## LoRA\n\nThe weights of the model stay as they are; an adapter of some megabytes is trained.',
    ],
    [
      'try_it',
      '## The held-out questions\n\nTake the folder `adapter` home: `facet merge` bakes it in, `facet serve --adapter` computes it beside the weights.',
    ],
  ],
  eval: [
    ['facet', '## The model, in 4 bits'],
    [
      'evaluate',
      '## Benchmarks\n\nPosed as lm-evaluation-harness poses them; `facet eval run --help` lists all.',
    ],
    ['report', '## The report'],
  ],
}

const TITLES: Readonly<Record<Purpose, string>> = {
  chat: 'Chat with',
  sft: 'Tune',
  eval: 'Evaluate',
}

/** @throws FacetError invalid_request for a model that has no name of Hugging Face */
export function makeNotebook({ platform, purpose, model, facetVersion }: NotebookOptions): Notebook {
  if (!/^\w[\w.-]*\/[\w.-]+$/.test(model)) {
    throw new FacetError(
      'invalid_request',
      `A notebook gets its model from Hugging Face, and ${JSON.stringify(model)} is no name there; give one such as google/gemma-2b-it with --model.`,
      { field: 'model' },
    )
  }
  const own = CELLS[purpose].flatMap(([file, said]) => [
    ...(said === '' ? [] : [markdownCell(`about-${file}`, said)]),
    cellOf(file),
  ])
  const packages =
    purpose === 'eval' ? [] : requirements(frameworkOf(purpose === 'sft' ? 'trl' : 'transformers'))
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: { ...METADATA, ...ACCELERATORS[platform] },
    cells: [
      markdownCell('title', introduction(platform, purpose, model)),
      codeCell('settings', settings(model, packages, facetVersion)),
      cellOf('stop'),
      cellOf(`token_${platform}`),
      ...(packages.length === 0 ? [] : [cellOf('install')]),
      ...own,
    ],
  }
}

function cellOf(file: string): Cell {
  return codeCell(file, readFileSync(new URL(`./python/${file}.py`, import.meta.url), 'utf8'))
}

function introduction(platform: Platform, purpose: Purpose, model: string): string {
  const where = { colab: 'the key symbol at the left', kaggle: 'Add-ons > Secrets' }[platform]
  return `# ${TITLES[purpose]} ${model}

Run the cells from top to bottom. The token for Hugging Face is read from the secrets of this notebook (${where},
as \`HF_TOKEN\`) and stands nowhere in it. A GPU is chosen already; a T4 is enough for the 2B.

Gemma is provided under and subject to the [${GEMMA_TERMS.name}](${GEMMA_TERMS.url}); the
[Prohibited Use Policy](${PROHIBITED_USES}) says what it may not be used for.`
}

/** Strings and lists of them are written in Python as in JSON. */
function settings(model: string, packages: readonly string[], facetVersion: string): string {
  const npm = [`gemfacet@${facetVersion}`, ...NPM_BESIDE]
  return `MODEL = ${JSON.stringify(model)}
PACKAGES = [${packages.map((one) => JSON.stringify(one)).join(', ')}]
NPM_PACKAGES = [${npm.map((one) => JSON.stringify(one)).join(', ')}]
TERMS = ${JSON.stringify(GEMMA_TERMS.url)}
# True once you have read and accepted them.
ACCEPT_TERMS = False`
}

const METADATA = {
  kernelspec: { display_name: 'Python 3', language: 'python', name: 'python3' },
  language_info: { name: 'python' },
}

const ACCELERATORS: Readonly<Record<Platform, Readonly<Record<string, unknown>>>> = {
  colab: { accelerator: 'GPU', colab: { gpuType: 'T4', provenance: [] } },
  kaggle: {
    kaggle: {
      accelerator: 'nvidiaTeslaT4',
      isGpuEnabled: true,
      isInternetEnabled: true,
      language: 'python',
      sourceType: 'notebook',
    },
  },
}
