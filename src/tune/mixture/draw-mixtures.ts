/** Draws mixtures by a seed: so many rows of each file, in an order that mixes them. */
import { type Disk, disk as realDisk } from '../../convert/output.ts'
import { abortedError } from '../../errors.ts'
import { randomFrom } from '../../random.ts'
import { fillFolder, LinesFile, writeText } from '../output.ts'
import type { Mixture } from './mixtures.ts'
import { RowFile, seedOf, shuffle } from './row-file.ts'

export interface DrawOptions {
  readonly mixtures: readonly Mixture[]
  /** Rows of each mixture. */
  readonly size: number
  readonly seed: number
  /** A folder that is not there, or empty. */
  readonly out: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void
  readonly disk?: Disk
}

/** summary.json of drawn mixtures. */
export interface MixtureSummary {
  readonly seed: number
  readonly size: number
  readonly mixtures: readonly DrawnMixture[]
}

export interface DrawnMixture {
  readonly name: string
  /** Of NAME.jsonl. */
  readonly sha256: string
  readonly parts: readonly {
    readonly file: string
    readonly weight: number
    readonly rows: number
    /** How many there are to draw from: where they are fewer than rows, some stand more than once. */
    readonly of: number
  }[]
}

/**
 * Writes NAME.jsonl for each mixture, and summary.json. Of a file, two mixtures take the same rows as far as both take
 * any: they differ by nothing but their proportions.
 *
 * @throws FacetError invalid_request (a file without rows, a row that is no conversation), io_failed
 */
export async function drawMixtures(options: DrawOptions): Promise<MixtureSummary> {
  const { mixtures, size, seed, out, signal, onProgress, disk = realDisk } = options
  return fillFolder(out, async (dir) => {
    const files = new Map<string, RowFile>()
    try {
      for (const { path } of mixtures.flatMap(({ parts }) => parts)) {
        if (!files.has(path)) files.set(path, await RowFile.open(path))
      }
      const drawn: DrawnMixture[] = []
      for (const [index, { name, parts }] of mixtures.entries()) {
        const counts = shareOut(
          parts.map(({ weight }) => weight),
          size,
        )
        const rows = parts.flatMap(({ file, path }, at) => {
          const source = files.get(path)!
          return source.draw(counts[at]!, seedOf(seed, file)).map((row) => ({ source, row }))
        })
        shuffle(rows, randomFrom(seedOf(seed, name)))
        const { sha256 } = await LinesFile.write(disk, dir, `${name}.jsonl`, async (lines) => {
          for (const [done, { source, row }] of rows.entries()) {
            if (signal.aborted) throw abortedError(signal)
            await lines.append(await source.read(row))
            onProgress?.({ done: index * size + done + 1, total: mixtures.length * size })
          }
        })
        const taken = parts.map(({ file, path, weight }, at) => ({
          file,
          weight,
          rows: counts[at]!,
          of: files.get(path)!.count,
        }))
        drawn.push({ name, sha256, parts: taken })
      }
      const summary = { seed, size, mixtures: drawn }
      await writeText(disk, dir, 'summary.json', `${JSON.stringify(summary, null, 2)}\n`)
      return summary
    } finally {
      for (const file of files.values()) await file.close()
    }
  })
}

/** Whole numbers in proportion to the weights, which add up to the size (largest remainders). */
export function shareOut(weights: readonly number[], size: number): number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0)
  const exact = weights.map((weight) => (size * weight) / sum)
  const counts = exact.map(Math.floor)
  const order = exact
    .map((value, at) => ({ at, left: value - Math.floor(value) }))
    .sort((a, b) => b.left - a.left || a.at - b.at)
  const missing = size - counts.reduce((total, count) => total + count, 0)
  for (const { at } of order.slice(0, missing)) counts[at]!++
  return counts
}
