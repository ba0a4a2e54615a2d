/** What each matrix costs when it alone is rounded to 4 bits: by this some are worth 8. */
import type { GemmaConfig } from '../gemma/config.ts'
import { EMBEDDING, type TensorShape, tensorShapes } from '../gemma/weights.ts'
import type { Checkpoint } from './checkpoint.ts'
import { checkAborted, type DataOptions } from './data-file.ts'
import { type LayerWeights, rmsNorm, runLayer } from './layer.ts'
import { BLOCK_SIZE, type BlockSize } from './layout.ts'
import { Likelihoods, nextIds, placesAmong, rowsAt, toLogits } from './likelihoods.ts'
import { multiply } from './matmul.ts'
import { dequantize, leastError, quantize } from './quantize.ts'
import { eachRows, embedRows, StreamedWeights } from './streamed.ts'

export interface RoundingCost {
  /** The matrix, for example `model.layers.0.mlp.up_proj.weight`. */
  readonly name: string
  /** Mean KL divergence of the next token from the checkpoint's, in nats. */
  readonly kl: number
}

export interface CostOptions extends DataOptions {
  readonly blockSize?: BlockSize
  /** Numbers that go through a layer at a time, by its widest matrix. Default 2^25: 2,048 tokens of a 2B. */
  readonly mostActivations?: number
}

/** The model with one matrix rounded, or none. */
interface Variant {
  readonly rounded?: string
  /** Hidden states (n, hiddenSize), after as many layers as have run. */
  readonly x: Float32Array
}

/** Which matrices cost most is known after few. */
const MOST_TOKENS = 512
/** Next tokens that are looked at: a large vocabulary costs more than all layers. */
const MOST_TARGETS = 256
/** Numbers of all variants' hidden states, which are held: 180 tokens of a 2B. */
const MOST_STATES = 2 ** 25
const MOST_ACTIVATIONS = 2 ** 25

/**
 * Runs the checkpoint beside itself with one matrix rounded, for every matrix. What all of them cost together is
 * about the sum. Reads the weights several times, a few megabytes at a time.
 *
 * @param sequences token ids, of which as many are taken as there is room for, from all over the text
 * @returns in the order of tensorShapes
 * @throws FacetError invalid_checkpoint, aborted
 */
export async function roundingCosts(
  checkpoint: Checkpoint,
  config: GemmaConfig,
  sequences: readonly (readonly number[])[],
  options: CostOptions = {},
): Promise<RoundingCost[]> {
  const { hiddenSize, intermediateSize, rmsNormEps } = config
  const { blockSize = BLOCK_SIZE, mostActivations = MOST_ACTIVATIONS } = options
  const round = (rows: Float32Array): Float32Array =>
    dequantize(quantize(rows, 4, blockSize, leastError), 4, blockSize)
  const [embedding, ...matrices] = tensorShapes(config).filter(({ role }) => role !== 'norm')
  const layers = config.layers.map((_, layer) =>
    matrices.filter(({ name }) => name.startsWith(`model.layers.${layer}.`)),
  )
  const room = Math.floor(MOST_STATES / hiddenSize / (matrices.length + 2))
  const text = fromAllOver(sequences, Math.min(MOST_TOKENS, room))
  const ids = text.flat()
  const lengths = text.map(({ length }) => length)

  const atOnce = Math.max(1, Math.floor(mostActivations / intermediateSize / ids.length))
  const work = new Work(embedding!, layers, options)
  const weights = new StreamedWeights(checkpoint, config, (elements) => work.advance(elements))
  const rounded = {
    read: async (...place: Parameters<Checkpoint['read']>) => round(await checkpoint.read(...place)),
  }
  const exact: Variant = { x: await embedRows(checkpoint, config, ids) }
  const variants: Variant[] = [{ rounded: EMBEDDING, x: await embedRows(rounded, config, ids) }]
  for (const [layer, own] of layers.entries()) {
    variants.push(...own.map(({ name }) => ({ rounded: name, x: exact.x.slice() })))
    const all = [exact, ...variants]
    for (let first = 0; first < all.length; first += atOnce) {
      const some = all.slice(first, first + atOnce)
      work.variants = some.length
      await runTogether(config, layer, lengths, some, weights, round)
    }
  }

  const norm = await weights.norm('model.norm.weight')
  const places = placesAmong(ids.length, MOST_TARGETS)
  const targets = nextIds(text)
  const says = ({ x }: Variant): Float32Array => rmsNorm(rowsAt(x, places, hiddenSize), norm, rmsNormEps)
  const exactly = says(exact)
  const compared = variants.map((variant) => ({
    name: variant.rounded!,
    states: says(variant),
    likelihoods: new Likelihoods(places.map((place) => targets[place]!)),
  }))
  work.variants = compared.length
  await eachRows([weights], EMBEDDING, ([rows], first) => {
    const logits = toLogits(config, exactly, rows!)
    for (const { name, states, likelihoods } of compared) {
      likelihoods.add(logits, toLogits(config, states, name === EMBEDDING ? round(rows!) : rows!), first)
    }
  })
  return compared.map(({ name, likelihoods }) => ({ name, kl: likelihoods.summary().kl }))
}

/** Whole sequences, every so many, until there are as many tokens; the last one is cut. */
function fromAllOver(sequences: readonly (readonly number[])[], tokens: number): number[][] {
  const total = sequences.reduce((sum, { length }) => sum + length, 0)
  const step = Math.max(1, Math.floor(total / tokens))
  const chosen: number[][] = []
  let left = tokens
  for (let i = 0; i < sequences.length && left > 1; i += step) {
    const sequence = sequences[i]!.slice(0, left)
    chosen.push(sequence)
    left -= sequence.length
  }
  return chosen
}

/** One layer of several variants, as if they were more sequences: its weights are read once for all. */
async function runTogether(
  config: GemmaConfig,
  layer: number,
  lengths: readonly number[],
  variants: readonly Variant[],
  weights: StreamedWeights,
  round: (rows: Float32Array) => Float32Array,
): Promise<void> {
  const size = variants[0]!.x.length
  const x = new Float32Array(size * variants.length)
  for (const [i, variant] of variants.entries()) x.set(variant.x, i * size)
  const together: LayerWeights['multiply'] = async (part, input, visit) => {
    const name = `model.layers.${layer}.${part}.weight`
    const [, k] = weights.shapeOf(name)
    const inputs = input.length / variants.length
    const i = variants.findIndex(({ rounded }) => rounded === name)
    await eachRows([weights], name, ([rows], first) => {
      const y = multiply(input, rows!, k)
      const own = input.subarray(i * inputs, (i + 1) * inputs)
      if (i >= 0) y.set(multiply(own, round(rows!), k), (i * y.length) / variants.length)
      visit(y, first)
    })
  }
  const all = variants.flatMap(() => lengths)
  await runLayer(config, layer, all, x, { ...weights.layer(layer), multiply: together })
  for (const [i, variant] of variants.entries()) variant.x.set(x.subarray(i * size, (i + 1) * size))
}

/** How far it is: bytes of the checkpoint, in bfloat16, as often as they are multiplied with. */
class Work {
  /** That run at present. */
  variants = 1
  readonly #options: DataOptions
  readonly #totalBytes: number
  #doneBytes = 0

  /** @param layers the matrices of each */
  constructor(embedding: TensorShape, layers: readonly (readonly TensorShape[])[], options: DataOptions) {
    this.#options = options
    const bytesOf = ({ shape }: TensorShape): number => shape[0]! * shape[1]! * 2
    let variants = 1 // with the embedding rounded; beside them all runs the exact one
    let totalBytes = 0
    for (const own of layers) {
      variants += own.length
      totalBytes += (variants + 1) * own.reduce((sum, one) => sum + bytesOf(one), 0)
    }
    this.#totalBytes = totalBytes + variants * bytesOf(embedding)
  }

  /** @throws FacetError aborted */
  advance(weights: number): void {
    checkAborted(this.#options.signal)
    this.#doneBytes += weights * 2 * this.variants
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes })
  }
}
