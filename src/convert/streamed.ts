/** A checkpoint's weights as layer.ts asks for them: read, used and forgotten. */
import type { GemmaConfig } from '../gemma/config.ts'
import { EMBEDDING } from '../gemma/weights.ts'
import type { Checkpoint } from './checkpoint.ts'
import { type TensorSource, tensorSources, withOne } from './checkpoint-weights.ts'
import { type Range, toRanges } from './data-file.ts'
import type { LayerWeights } from './layer.ts'
import { multiply } from './matmul.ts'

/** The embedding's rows of these tokens, scaled: (n, hiddenSize). */
export async function embedRows(
  checkpoint: Pick<Checkpoint, 'read'>,
  { hiddenSize, embeddingScale }: GemmaConfig,
  ids: readonly number[],
): Promise<Float32Array> {
  const x = new Float32Array(ids.length * hiddenSize)
  const places = Map.groupBy(ids.keys(), (place) => ids[place]!)
  for (const [id, all] of places) {
    const row = await checkpoint.read(EMBEDDING, id * hiddenSize, (id + 1) * hiddenSize)
    for (let j = 0; j < hiddenSize; j++) row[j]! *= embeddingScale
    for (const place of all) x.set(row, place * hiddenSize)
  }
  return x
}

/** One model's weights, a few megabytes at a time. */
export class StreamedWeights {
  readonly #checkpoint: Checkpoint
  readonly #sources: ReadonlyMap<string, TensorSource>
  readonly #onRead: (elements: number) => void

  /**
   * @param onRead told how many weights have been used, as they are
   * @throws FacetError invalid_checkpoint, as tensorSources does
   */
  constructor(checkpoint: Checkpoint, config: GemmaConfig, onRead: (elements: number) => void) {
    this.#checkpoint = checkpoint
    this.#sources = new Map(tensorSources(checkpoint, config).map((source) => [source.name, source]))
    this.#onRead = onRead
  }

  layer(index: number): LayerWeights {
    const full = (part: string): string => `model.layers.${index}.${part}.weight`
    return {
      norm: (part) => this.norm(full(part)),
      multiply: async (part, x, visit) => {
        const [, k] = this.shapeOf(full(part))
        await eachRows([this], full(part), ([rows], first) => visit(multiply(x, rows!, k), first))
      },
    }
  }

  /** An RMSNorm's weights, 1 added. */
  async norm(name: string): Promise<Float32Array> {
    return withOne(this.#checkpoint, await this.#checkpoint.read(name))
  }

  /** Rows and columns of a matrix. */
  shapeOf(name: string): readonly [rows: number, columns: number] {
    return this.#sources.get(name)!.shape as [number, number]
  }

  /** The ranges of a matrix, and the number of the first row of each. */
  ranges(name: string): { readonly range: Range; readonly first: number }[] {
    const { parts, shape } = this.#sources.get(name)!
    let first = 0
    return parts.flatMap(toRanges).map((range) => {
      const place = { range, first }
      first += (range.end - range.start) / shape[1]!
      return place
    })
  }

  async read({ name, start, end }: Range): Promise<Float32Array> {
    const rows = await this.#checkpoint.read(name, start, end)
    this.#onRead(rows.length)
    return rows
  }
}

/** Rows of a matrix of models of one shape, piece by piece, and the number of the first of them. */
export async function eachRows(
  models: readonly StreamedWeights[],
  name: string,
  visit: (rows: readonly Float32Array[], first: number) => void,
): Promise<void> {
  for (const { range, first } of models[0]!.ranges(name)) {
    const rows: Float32Array[] = []
    for (const model of models) rows.push(await model.read(range))
    visit(rows, first)
  }
}
