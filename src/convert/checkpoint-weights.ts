/** How Facet's tensors come from a Hugging Face checkpoint's: q, k and v packed, 1 added to the norms. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { type TensorShape, tensorShapes, type Weights } from '../gemma/weights.ts'
import { type Checkpoint, countOf } from './checkpoint.ts'

/** One tensor of Facet and the checkpoint tensors whose rows, one after the other, make it up. */
export interface TensorSource extends TensorShape {
  readonly parts: readonly { readonly name: string; readonly shape: readonly number[] }[]
}

/**
 * Every tensor of the model with where it comes from.
 *
 * @throws FacetError invalid_checkpoint when one is missing, has another shape or is not floating-point
 */
export function tensorSources(checkpoint: Checkpoint, config: GemmaConfig): TensorSource[] {
  const sources = tensorShapes(config).map((tensor) => ({ ...tensor, parts: partsOf(tensor, config) }))
  for (const { name, shape } of sources.flatMap(({ parts }) => parts)) {
    const found = checkpoint.tensors.get(name)
    if (!found) {
      fail(name, `${name} is missing from the checkpoint; download it again or check config.json`)
    }
    if (found.shape.join() !== shape.join()) {
      fail(
        `${name}.shape`,
        `${found.file}: ${name}.shape is [${found.shape.join(', ')}], but config.json makes it [${shape.join(', ')}]; take both from the same model`,
      )
    }
    if (!found.dtype) {
      fail(
        `${name}.dtype`,
        `${found.file}: ${name}.dtype is ${found.storedDtype}, which cannot be read; take the checkpoint in BF16, F16 or F32`,
      )
    }
  }
  return sources
}

/** The checkpoint's tensors that make one of ours. */
export function partsOf({ name, shape }: TensorShape, config: GemmaConfig): TensorSource['parts'] {
  if (!name.includes('.qkv_proj.')) return [{ name, shape }]
  const { heads, kvHeads, headDim, hiddenSize } = config
  return [
    { name: name.replace('qkv_proj', 'q_proj'), shape: [heads * headDim, hiddenSize] },
    { name: name.replace('qkv_proj', 'k_proj'), shape: [kvHeads * headDim, hiddenSize] },
    { name: name.replace('qkv_proj', 'v_proj'), shape: [kvHeads * headDim, hiddenSize] },
  ]
}

/** RMSNorm multiplies by 1 + w; the sum is taken in float32, as bfloat16 would lose most of w. */
export function withOne({ normsHoldOne }: Checkpoint, norm: Float32Array): Float32Array {
  return normsHoldOne ? norm : norm.map((weight) => weight + 1)
}

/**
 * The whole checkpoint in memory as float32, 4 bytes a parameter: for the reference model.
 *
 * @throws FacetError invalid_checkpoint, as tensorSources does
 */
export async function weightsFrom(checkpoint: Checkpoint, config: GemmaConfig): Promise<Weights> {
  const tensors = new Map<string, Float32Array>()
  for (const { name, shape, role, parts } of tensorSources(checkpoint, config)) {
    const whole = new Float32Array(countOf(shape))
    let at = 0
    for (const part of parts) {
      const values = await checkpoint.read(part.name)
      whole.set(values, at)
      at += values.length
    }
    tensors.set(name, role === 'norm' ? withOne(checkpoint, whole) : whole)
  }
  return {
    tensor(name) {
      const values = tensors.get(name)
      if (!values) throw new RangeError(`This model has no tensor ${name}.`)
      return values
    },
  }
}

function fail(field: string, message: string): never {
  throw new FacetError('invalid_checkpoint', `${message}.`, { field })
}
