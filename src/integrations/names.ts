/** What a model is called on Hugging Face, on Kaggle, in KerasHub and in MaxText. */
import { modelOf } from '../../deploy/models.ts'
import { FacetError } from '../errors.ts'
import type { Architecture } from '../gemma/config.ts'
import type { PublishedName } from '../gemma/published.ts'

export interface Names {
  readonly published: PublishedName
  readonly generation: Architecture
  /** `google/gemma-2b-it` */
  readonly hub: string
  /** `google/gemma/transformers/2b-it` */
  readonly kaggle: string
  /** A preset of KerasHub: `gemma_instruct_2b_en`. */
  readonly keras: string
  /** `gemma2-9b` */
  readonly maxtext: string
  /** `2b` */
  readonly size: string
}

/**
 * @param model as Hugging Face has it, with or without `google/`
 * @throws FacetError model_not_found for a model that is none of Google's Gemma 1, 2 and 3
 */
export function namesOf(model: string): Names {
  const found = modelOf(model)
  if (!found) {
    throw new FacetError(
      'model_not_found',
      `${model} is none of Google's Gemma 1, 2 and 3; name one as Hugging Face does, for example google/gemma-2b-it.`,
      { field: 'model' },
    )
  }
  const { id, repository, published, config } = found
  const tuned = id.endsWith('-it')
  const size = published.replace(/^.*-/, '')
  const version = /^gemma-(1\.1|2|3)-/.exec(id)?.[1] ?? '1'
  return {
    published,
    generation: config.architecture,
    hub: repository,
    size,
    ...elsewhere(version, size, tuned, id),
  }
}

/** @param version as in the name: 1, 1.1, 2 or 3 */
function elsewhere(
  version: string,
  size: string,
  tuned: boolean,
  id: string,
): Pick<Names, 'kaggle' | 'keras' | 'maxtext'> {
  const instruct = tuned ? 'instruct_' : ''
  if (version === '2') {
    return {
      kaggle: `google/gemma-2/transformers/${id}`,
      keras: `gemma2_${instruct}${size}_en`,
      maxtext: `gemma2-${size}`,
    }
  }
  if (version === '3') {
    // The larger ones see images too; these presets are their text towers.
    const text = ['4b', '12b', '27b'].includes(size) ? '_text' : ''
    return {
      kaggle: `google/gemma-3/transformers/${id}`,
      keras: `gemma3_${instruct}${size}${text}`,
      maxtext: `gemma3-${size}`,
    }
  }
  const first = version === '1.1' ? '1.1-' : ''
  return {
    kaggle: `google/gemma/transformers/${first}${size}${tuned ? '-it' : ''}`,
    keras: `gemma_${version === '1.1' ? '1.1_' : ''}${instruct}${size}_en`,
    maxtext: `gemma-${size}`,
  }
}
