/** Kaggle's model hub: the weights, in the formats of several frameworks. */
import { type Framework, type Support, seen } from './framework.ts'

const there = (model: string): Support => ({
  state: 'supported',
  source: seen(`https://www.kaggle.com/models/google/${model}`),
})

export const kaggle: Framework = {
  name: 'kaggle',
  title: 'Kaggle Models',
  kind: 'hub',
  version: '1.0.2',
  packages: [{ name: 'kagglehub', version: '1.0.2' }],
  source: seen('https://pypi.org/project/kagglehub/1.0.2/'),
  support: { gemma: there('gemma'), gemma2: there('gemma-2'), gemma3_text: there('gemma-3') },
  recipes: [
    {
      does: 'download',
      commands: ['facet pull kaggle://{kaggle} "$OUT" --quant int4'],
      source: seen('https://www.kaggle.com/models/google/gemma'),
    },
    {
      does: 'download',
      commands: [
        'pip install {packages}',
        `python -c 'import kagglehub; print(kagglehub.model_download("{kaggle}"))'`,
      ],
      source: seen('https://github.com/Kaggle/kagglehub'),
    },
  ],
}
