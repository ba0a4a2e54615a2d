/** How the commands of the page on models are run. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { PageEntries } from '../entry.ts'
import { checkpoint, hub, made, sample } from '../fixtures.ts'
import { ROOT } from '../pages.ts'

const HUB = 'a small checkpoint on a hub of the tests'

export const MODELS: readonly PageEntries[] = [
  {
    page: 'docs/models.md',
    prepare: async (place) => {
      await hub(place, 'google/gemma-2b-it')
      for (const [name, bytes] of Object.entries(checkpoint())) place.write(`checkpoint/${name}`, bytes)
      await made(place, 'facet export ./checkpoint gemma-2b-it.gguf')
      await made(place, 'facet export ./checkpoint gemma-checkpoint')
      await made(place, 'facet convert ./checkpoint ./gemma-int4')
      await made(place, 'facet convert ./checkpoint ./gemma-2b-it --license gemma')
      rmSync(join(place.folder, 'gemma-2b-it/NOTICE'))
      sample(place, 'model')
      sample(place, 'int8')
      place.write('eval.json', readFileSync(join(ROOT, 'test/golden/facet-tldr-24m-eval.json'), 'utf8'))
    },
    commands: {
      'npx facet pull google/gemma-2b-it': {
        ...{
          how: 'run',
          against: HUB,
          instead: { 'facet pull': 'facet pull --accept-terms' },
          says: /snapshots/,
        },
      },
      'npx facet pull google/gemma-2b-it ./gemma --quant int4': { how: 'run', against: HUB },
      'npx facet convert ./gemma-2b-it.gguf ./gemma-2b': { how: 'run' },
      'npx facet export ./gemma gemma.gguf': { how: 'run' },
      'node scripts/fidelity.ts ./model eval.json golden.json --pairs 904 --against ./checkpoint': {
        how: 'parsed',
        because: 'The figures of transformers that it compares with are not in the repository.',
      },
      'node scripts/own-answers.ts ./int8 eval.json answers.jsonl --seed 1': {
        how: 'run',
        instead: { 'node scripts': `node ${join(ROOT, 'scripts')}`, '--seed 1': '--seed 1 --count 2' },
      },
      'npx facet verify ./gemma-int4 --against ./gemma-checkpoint --chart difference.svg': { how: 'run' },
      'facet licence ./gemma-2b-it': { how: 'run', exit: 1, says: /NOTICE/ },
      'facet licence ./gemma-2b-it --write': { how: 'run' },
    },
  },
]
