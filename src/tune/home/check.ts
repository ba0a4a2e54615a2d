/** Whether a result fits the model it was tuned from, before anything is made of it. */
import { modelOf } from '../../../deploy/models.ts'
import { readConfig } from '../../convert/checkpoint-files.ts'
import { withOpened } from '../../convert/merge.ts'
import { FacetError } from '../../errors.ts'
import type { GemmaConfig } from '../../gemma/config.ts'
import type { Done } from './done.ts'

export interface Checked {
  /** Of an adapter: the largest of its matrices. */
  readonly rank?: number
}

/**
 * @param dir with the result's files
 * @param base directory of the model it was tuned from, a checkpoint or a model directory. Left out: the
 *   published model of that name
 * @throws FacetError invalid_checkpoint, with the tensor and what was expected of it; unsupported; invalid_request
 *   where nobody knows the base
 */
export async function checkResult(dir: string, done: Done, base?: string): Promise<Checked> {
  const config = await baseConfig(done.base, base)
  if (done.kind === 'checkpoint') {
    sameShape(await readConfig(dir), config, done.base)
    return {}
  }
  const rank = await withOpened(dir, { config, manifest: { id: done.base } }, ({ pairs }) =>
    Math.max(...pairs.map((pair) => pair.rank)),
  )
  return { rank }
}

/** Of the model that was tuned. @throws FacetError invalid_request where nobody knows it */
export async function baseConfig(name: string, base: string | undefined): Promise<GemmaConfig> {
  if (base !== undefined) return readConfig(base)
  const known = modelOf(name)
  if (known) return known.config
  const says = `${name} is none of the published Gemmas; give its directory with --base.`
  throw new FacetError('invalid_request', says, { field: 'base' })
}

const SHAPE = [
  'architecture',
  'hiddenSize',
  'intermediateSize',
  'heads',
  'kvHeads',
  'headDim',
  'vocabSize',
] as const

/** @throws FacetError invalid_checkpoint */
export function sameShape(result: GemmaConfig, base: GemmaConfig, name: string): void {
  const layers = result.layers.length === base.layers.length ? undefined : 'layers'
  const field = layers ?? SHAPE.find((one) => result[one] !== base[one])
  if (field === undefined) return
  const [is, must] = layers
    ? [result.layers.length, base.layers.length]
    : [result[field as 'heads'], base[field as 'heads']]
  const says = `The result's ${field} is ${is}, but that of ${name} is ${must}; it was not tuned from it.`
  throw new FacetError('invalid_checkpoint', says, { field })
}
