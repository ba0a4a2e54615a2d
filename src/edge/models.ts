/** The models served: GET /v1/models, and finding the backend a request asks for. */
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'

export function toModelList(backends: readonly Backend[]): object {
  return { object: 'list', data: backends.map(toModel) }
}

/** OpenAI's four fields, then what Facet knows besides. */
export function toModel({ name, model }: Pick<Backend, 'name' | 'model'>): object {
  return {
    id: model.id,
    object: 'model',
    created: model.created ?? 0,
    owned_by: name,
    description: model.description,
    context_length: model.contextTokens,
    parameters: model.parameters,
    quantization: model.quantization,
    license: model.license,
  }
}

/** @throws FacetError model_not_found, with what there is */
export function findBackend<Served extends Pick<Backend, 'model'>>(
  backends: readonly Served[],
  id: string | undefined,
): Served {
  const found = id === undefined ? backends[0] : backends.find(({ model }) => model.id === id)
  if (found) return found
  const ids = backends.map(({ model }) => model.id).join(', ')
  const name = JSON.stringify(id!.length > 80 ? `${id!.slice(0, 80)}…` : id)
  throw new FacetError(
    'model_not_found',
    `The model ${name} does not exist here; ask for one of: ${ids}, or leave model out.`,
    { field: 'model' },
  )
}
