/** How the commands of the pages on tuning are run. */
import type { PageEntries } from '../entry.ts'

export const TUNING: readonly PageEntries[] = [
  {
    page: 'docs/integrations.md',
    commands: {
      'npx facet integrations': { how: 'run', says: /vllm/ },
      'npx facet integrations keras --model google/gemma-7b-it': { how: 'run', says: /keras/i },
      'npx facet integrations vllm --json': { how: 'run', says: /"vllm"/ },
    },
  },
  {
    page: 'docs/notebooks.md',
    commands: {
      'npx facet notebook colab': { how: 'run', says: /\.ipynb/ },
      'npx facet notebook kaggle sft --model google/gemma-2b-it --out tune.ipynb': {
        how: 'run',
        says: /tune\.ipynb/,
      },
      'npx facet notebook colab eval --model google/gemma-7b-it --out eval.ipynb': {
        how: 'run',
        says: /eval\.ipynb/,
      },
    },
  },
]
