/** The figures of the dashboard: what each is, and how it follows from two readings of whatever computes. */

/** A sum over observations, as histograms and our own counting give it. */
export interface Total {
  readonly sumMs: number
  readonly count: number
}

/** How something that computes stands; totals and counts are since its start. What it does not tell is left out. */
export interface Reading {
  readonly atMs: number
  /** What computes, for people. */
  readonly graph?: string
  readonly firstToken?: Total
  readonly perToken?: Total
  readonly completionTokens?: number
  /** Sequences that can run at the same time, run now, and wait. */
  readonly slots?: number
  readonly running?: number
  readonly waiting?: number
  /** Passes through the model, and sequences computed in all of them. */
  readonly steps?: number
  readonly stepSequences?: number
  readonly kvTokens?: number
  readonly kvCapacityTokens?: number
  readonly promptTokens?: number
  readonly cachedTokens?: number
  readonly memoryBytes?: number
}

export interface Figure {
  readonly name: string
  readonly unit: string
  /** The value between two readings; undefined while it is not known. */
  readonly value: (now: Reading, before: Reading) => number | undefined
  /** What the value is out of, for people. */
  readonly outOf?: (now: Reading) => string | undefined
  /** What stood is still true until there is something new: means of observations. */
  readonly holds?: boolean
}

export const FIGURES: readonly Figure[] = [
  {
    name: 'Time to first token',
    unit: 'ms',
    value: (now, before) => mean(now.firstToken, before.firstToken),
    holds: true,
  },
  {
    name: 'Time per token',
    unit: 'ms',
    value: (now, before) => mean(now.perToken, before.perToken),
    holds: true,
  },
  {
    name: 'Tokens a second',
    unit: '',
    value: (now, before) => rate(now.completionTokens, before.completionTokens, now.atMs - before.atMs),
  },
  { name: 'Waiting', unit: '', value: ({ waiting }) => waiting },
  {
    name: 'Batch size',
    unit: '',
    // Between two readings several steps are made; while none is, nothing is batched.
    value: (now, before) =>
      ratio(now.stepSequences, before.stepSequences, now.steps, before.steps) ?? now.running,
    outOf: ({ slots }) => (slots === undefined ? undefined : `of ${slots}`),
  },
  {
    name: 'KV cache in use',
    unit: '%',
    value: ({ kvTokens, kvCapacityTokens }) => share(kvTokens, kvCapacityTokens),
    outOf: ({ kvTokens, kvCapacityTokens }) =>
      kvTokens === undefined || kvCapacityTokens === undefined
        ? undefined
        : `${kvTokens} of ${kvCapacityTokens} tokens`,
  },
  {
    name: 'Prefix hits',
    unit: '%',
    value: ({ cachedTokens, promptTokens }) => share(cachedTokens, promptTokens),
    outOf: ({ cachedTokens, promptTokens }) =>
      cachedTokens === undefined || promptTokens === undefined
        ? undefined
        : `${cachedTokens} of ${promptTokens} tokens`,
  },
  {
    name: 'Memory',
    unit: 'MB',
    value: ({ memoryBytes }) => (memoryBytes === undefined ? undefined : memoryBytes / 1e6),
  },
]

function mean(now: Total | undefined, before: Total | undefined): number | undefined {
  if (!now || now.count <= (before?.count ?? 0)) return undefined
  return (now.sumMs - (before?.sumMs ?? 0)) / (now.count - (before?.count ?? 0))
}

function rate(now: number | undefined, before: number | undefined, ms: number): number | undefined {
  // A server that was started anew counts from nothing again.
  return now === undefined || before === undefined || ms <= 0
    ? undefined
    : (Math.max(0, now - before) * 1000) / ms
}

function ratio(now?: number, before?: number, nowOf?: number, beforeOf?: number): number | undefined {
  if (now === undefined || before === undefined || nowOf === undefined || beforeOf === undefined)
    return undefined
  return nowOf > beforeOf && now >= before ? (now - before) / (nowOf - beforeOf) : undefined
}

function share(part: number | undefined, whole: number | undefined): number | undefined {
  return part === undefined || !whole ? undefined : (100 * part) / whole
}

/** The last values of one figure, oldest first. */
export class Series {
  readonly values: number[] = []
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  push(value: number): void {
    this.values.push(value)
    if (this.values.length > this.#most) this.values.shift()
  }
}

/** Three digits that count. */
export function toShort(value: number): string {
  if (value >= 100) return String(Math.round(value))
  return String(+value.toPrecision(value < 10 ? 2 : 3))
}
