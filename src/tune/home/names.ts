/** What was tuned, taken by its name where facet.config.ts names models and adapters. */
import type { DeploymentSpec } from '../../../deploy/spec.ts'
import { ConfigProblem } from '../../check.ts'
import { type Tuned, type TunedModels, tunedAs } from './tuned.ts'

/** Of an endpoint that is computed here, what may be a name. */
export interface LocalNames {
  readonly directory: string
  readonly adapters?: Readonly<Record<string, string>>
}

/** Ranks that vLLM makes room for; an adapter of another takes the next. */
const VLLM_RANKS = [8, 16, 32, 64, 128, 256] as const

/**
 * The endpoint with paths for names. A folder that has the name of a tuning is written as `./NAME`.
 *
 * @param endpoint its name, for messages
 * @throws ConfigProblem where an adapter stands for a model, or a model for an adapter
 */
export function withTunedNames<Local extends LocalNames>(
  endpoint: string,
  local: Local,
  tuned: TunedModels,
): Local {
  const { directory, adapters } = local
  const model = found(tuned, directory, ['endpoints', endpoint, 'directory'])
  if (model?.kind === 'adapter') {
    const says = `names ${directory}, which is an adapter for ${model.base}; name it under adapters, or fetch it with --merge`
    throw new ConfigProblem(['endpoints', endpoint, 'directory'], says)
  }
  const named = Object.entries(adapters ?? {}).map(([name, place]) => {
    const path = ['endpoints', endpoint, 'adapters', name]
    const one = found(tuned, place, path)
    if (one?.kind === 'model') {
      const says = `names ${place}, which is a whole model; name it as directory`
      throw new ConfigProblem(path, says)
    }
    return [name, one?.directory ?? place]
  })
  return {
    ...local,
    directory: model?.directory ?? directory,
    ...(adapters && { adapters: Object.fromEntries(named) }),
  }
}

/**
 * The deployment with the bucket's folder, and its rank, for each adapter that is named as a tuning.
 *
 * @throws ConfigProblem for what a server elsewhere cannot reach
 */
export function withTunedAdapters(
  deployment: string,
  spec: DeploymentSpec,
  tuned: TunedModels,
): DeploymentSpec {
  if (!('adapters' in spec) || !spec.adapters) return spec
  const adapters = Object.entries(spec.adapters).map(([name, adapter]) => {
    const path = ['deployments', deployment, 'adapters', name, 'source']
    const one = found(tuned, adapter.source, path)
    if (!one) return [name, adapter] as const
    if (one.kind === 'model') throw new ConfigProblem(path, `names ${adapter.source}, which is a whole model`)
    if (!one.from.startsWith('gs://')) {
      const says = `names ${adapter.source}, which was tuned on this machine; copy ${one.directory} to a bucket and give its gs:// address`
      throw new ConfigProblem(path, says)
    }
    const rank = adapter.rank ?? VLLM_RANKS.find((room) => room >= (one.rank ?? 0))
    return [name, { source: one.from, ...(rank !== undefined && { rank }) }] as const
  })
  return { ...spec, adapters: Object.fromEntries(adapters) }
}

/** A reward model is neither a model that chats nor an adapter of one. */
function found(tuned: TunedModels, name: string, path: readonly string[]): Tuned | undefined {
  const one = tunedAs(tuned, name)
  if (one?.kind !== 'reward') return one
  const says = `names ${name}, which is a reward model: it scores answers and does not chat; name it as rewardModel of a tuning`
  throw new ConfigProblem(path, says)
}
