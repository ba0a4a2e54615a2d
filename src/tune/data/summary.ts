/** summary.json of tuning data: how it was made, what stayed, and what was dropped. */
import type { BenchmarkSummary } from './leakage.ts'
import type { FileType } from './read/source.ts'
import type { OptionalCheck, Reason } from './rejection.ts'
import type { FormatName } from './row-formats.ts'

/** All that decides what becomes of a row. */
export interface DataSettings {
  readonly seed: number
  /** Of the rows that stay, 0 to below 1. */
  readonly evalShare: number
  /** The folder that the tokenizer was read from, as it was named. */
  readonly model: string
  readonly contextTokens: number
  readonly truncate: boolean
  /** Similarity from which a row is a near duplicate, 0 to 1. */
  readonly nearDuplicates: number
  /** Left out: by each row's fields. */
  readonly format?: FormatName
  readonly skip: readonly OptionalCheck[]
  /** Who looked for personal data. */
  readonly personalData: 'none' | 'local' | 'google'
  /** Whose questions were looked for. */
  readonly benchmarks: readonly BenchmarkSummary[]
  /** The model, or the address, that judged whether an answer is safe. */
  readonly judge?: string
}

export interface DataSummary {
  readonly settings: DataSettings
  readonly files: readonly FileSummary[]
  readonly rows: number
  readonly kept: number
  /** Of the rows kept: those whose end was left out. */
  readonly truncated: number
  readonly dropped: Readonly<Partial<Record<Reason, number>>>
  readonly tokens: Lengths
  readonly train: PartSummary
  readonly eval: PartSummary
}

export interface FileSummary {
  readonly file: string
  readonly type: FileType
  readonly sizeBytes: number
  readonly sha256: string
  readonly rows: number
  readonly kept: number
}

export interface PartSummary {
  readonly rows: number
  /** Of the file. */
  readonly sha256: string
  readonly tokens: Lengths
}

/** Of rows, in tokens, with bos and all control tokens. */
export interface Lengths {
  readonly total: number
  readonly mean: number
  readonly median: number
  readonly p95: number
  readonly max: number
}

/** All 0 of no rows. */
export function lengthsOf(tokens: readonly number[]): Lengths {
  const sorted = Uint32Array.from(tokens).sort()
  const total = sorted.reduce((sum, count) => sum + count, 0)
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0
  const mean = sorted.length === 0 ? 0 : Math.round((10 * total) / sorted.length) / 10
  return { total, mean, median: at(0.5), p95: at(0.95), max: at(1) }
}
