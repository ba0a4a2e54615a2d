/** Writes `model.onnx_data` layer by layer while a calibration text passes through what is written. */
import { EMBEDDING } from '../gemma/weights.ts'
import type { TensorSource } from './checkpoint-weights.ts'
import { appendRotary, type DataOptions, type DataSource, DataWriter } from './data-file.ts'
import { type InputFactors, inputFactors, quantizeFor } from './gptq.ts'
import { rmsNorm, runLayer } from './layer.ts'
import { BLOCK_SIZE, bitsIn } from './layout.ts'
import { multiply } from './matmul.ts'
import type { HashedFile } from './output.ts'
import { dequantize } from './quantize.ts'
import { embedRows } from './streamed.ts'

/**
 * The head's rows are the tokens' embeddings, too, whose own errors count as much as those of the products: half
 * of what is weighed is then nearness to what each weight was.
 */
const EMBEDDING_DAMPING = 1

/**
 * As writeData, with the rounding of gptq.ts: each matrix is rounded for the inputs that the rounded
 * matrices before it give. Holds the activations of all tokens and a few megabytes of weights.
 *
 * @param data its layout ends with the embedding, whose inputs as a head are known last
 * @param sequences token ids of the calibration text
 * @throws FacetError as writeData
 */
export async function writeCalibrated(
  file: HashedFile,
  data: DataSource,
  sequences: readonly (readonly number[])[],
  options: DataOptions,
): Promise<void> {
  const { config, format, sources } = data
  const { blockSize = BLOCK_SIZE } = format
  const writer = new DataWriter(file, data, options)
  const byName = new Map(sources.map((source) => [source.name, source]))
  let known: { readonly input: Float32Array; readonly factors: InputFactors } | undefined

  /** Rounds W (m, k) for x (n, k) and gives the product with what it became, (n, c) at a time. */
  const matrix = async (
    source: TensorSource,
    x: Float32Array,
    visit?: (y: Float32Array, first: number) => void,
  ): Promise<void> => {
    const k = source.shape[1]!
    if (known?.input !== x) {
      const damping = source.role === 'embedding' ? EMBEDDING_DAMPING : undefined
      known = { input: x, factors: inputFactors(x, k, blockSize, damping) }
    }
    const { factors } = known
    const bits = bitsIn(format, source.name)
    let first = 0
    await writer.matrix(
      source,
      (weights) => quantizeFor(factors, weights, bits, blockSize),
      (blocks) => {
        if (!visit) return
        const rows = dequantize(blocks, bits, blockSize)
        visit(multiply(x, rows, k), first)
        first += rows.length / k
      },
    )
  }

  const lengths = sequences.map(({ length }) => length)
  const x = await embedRows(data.checkpoint, config, sequences.flat())
  for (let layer = 0; layer < config.layers.length; layer++) {
    const source = (part: string): TensorSource => byName.get(`model.layers.${layer}.${part}.weight`)!
    await runLayer(config, layer, lengths, x, {
      norm: (part) => writer.norm(source(part)),
      multiply: (part, input, visit) => matrix(source(part), input, visit),
    })
  }
  const norm = await writer.norm(byName.get('model.norm.weight')!)
  await matrix(byName.get(EMBEDDING)!, rmsNorm(x, norm, config.rmsNormEps))
  await appendRotary(file, config, data.layout)
}
