/** What products are cut into: found on each adapter by a short measurement, and remembered. */
import type { Width } from './chain.ts'
import type { Arithmetic } from './tile.ts'

/**
 * What products are cut into. Results differ in their last bits between cuts of other `lanes`, and by as much as
 * its rounding between one `arithmetic` and another, never else.
 */
export interface Tuning {
  /** Most lanes along a row, in products of few tokens. */
  readonly lanes: number
  /** Rows of a workgroup, for each number of tokens that are computed at once. */
  readonly rows: Readonly<Record<number, number>>
  /** Most tokens of a lane, when more are computed at once. */
  readonly laneTokens: number
  /** Whether products of many tokens read ahead. */
  readonly ahead: boolean
  /** What products of many tokens multiply. */
  readonly arithmetic: Arithmetic
}

/** Good on the adapters that were measured. */
export const TUNING: Tuning = {
  lanes: 128,
  rows: { 1: 4, 2: 4, 4: 8, 8: 8, 16: 8 },
  laneTokens: 8,
  ahead: true,
  arithmetic: 'f32',
}

const LANES = [32, 64, 128] as const
const ROWS = [2, 4, 8] as const
const LANE_TOKENS = [4, 8] as const
const ARITHMETICS = ['f32', 'f16', 'int8'] as const satisfies readonly Arithmetic[]
/** What is less exact must take at most so much of the time, so that chance does not decide about results. */
const WORTH = 0.8

/** Remembers what was found. Never fails: what cannot be kept is found again another time. */
export interface TuningStore {
  read(key: string): Promise<string | undefined>
  write(key: string, tuning: string): Promise<void>
}

/** Between what a tuning is found. */
export interface TuningChoices {
  /** Numbers of tokens that are computed at once. */
  readonly widths: readonly number[]
  /** For products of many tokens, the most exact first. */
  readonly arithmetics: readonly Arithmetic[]
}

/** How long a step of this width takes, in any unit. */
export type Measure = (tuning: Tuning, width: Width) => Promise<number>

/**
 * The tuning that is remembered under this key, or the best of about twenty that are measured now.
 *
 * @throws FacetError what `measure` throws
 */
export async function tuned(
  store: TuningStore,
  key: string,
  { widths, arithmetics }: TuningChoices,
  measure: Measure,
): Promise<Tuning> {
  const known = tuningFrom(await store.read(key))
  if (known) return known
  const fastest = async (from: readonly Tuning[], width: Width): Promise<{ took: number; found: Tuning }> => {
    let took = Number.POSITIVE_INFINITY
    let found = from[0]!
    for (const candidate of from) {
      const taken = await measure(candidate, width)
      if (taken < took) [took, found] = [taken, candidate]
    }
    return { took, found }
  }
  const best = async (from: readonly Tuning[], width: Width): Promise<Tuning> =>
    (await fastest(from, width)).found
  let tuning = await best(
    LANES.map((lanes) => ({ ...TUNING, lanes })),
    1,
  )
  for (const width of widths) {
    const candidates = ROWS.map((rows) => ({ ...tuning, rows: { ...tuning.rows, [width]: rows } }))
    tuning = await best(candidates, width)
  }
  const widest = widths.at(-1)!
  if (widest > LANE_TOKENS[0]) {
    const candidates = LANE_TOKENS.map((laneTokens) => ({ ...tuning, laneTokens }))
    tuning = await best(candidates, widest)
  }
  let took = Number.POSITIVE_INFINITY
  for (const arithmetic of arithmetics) {
    const candidates = [true, false].map((ahead) => ({ ...tuning, ahead, arithmetic }))
    const other = await fastest(candidates, 'many')
    if (other.took < took * WORTH) [tuning, took] = [other.found, other.took]
  }
  await store.write(key, JSON.stringify(tuning))
  return tuning
}

/** What `tuned` has written; undefined for anything else. */
export function tuningFrom(text: string | undefined): Tuning | undefined {
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined // a file that somebody changed: measured anew
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { lanes, rows, laneTokens, ahead, arithmetic } = value as Record<string, unknown>
  if (typeof rows !== 'object' || rows === null || typeof ahead !== 'boolean') return undefined
  const widths = Object.keys(TUNING.rows)
  const counts = rows as Record<string, unknown>
  const isWhole =
    isOneOf(LANES, lanes) &&
    isOneOf(LANE_TOKENS, laneTokens) &&
    isOneOf(ARITHMETICS, arithmetic) &&
    Object.keys(counts).join() === widths.join() &&
    widths.every((width) => isOneOf(ROWS, counts[width]))
  return isWhole ? (value as Tuning) : undefined
}

function isOneOf(allowed: readonly unknown[], value: unknown): boolean {
  return allowed.some((each) => each === value)
}

/** For as long as the process or page lives. */
export function tuningsInMemory(): TuningStore {
  const known = new Map<string, string>()
  return {
    read: async (key) => known.get(key),
    write: async (key, tuning) => {
      known.set(key, tuning)
    },
  }
}

/** In the browser's Cache storage, which pages and all kinds of workers have; in memory where there is none. */
export function tuningsInCache(name: string = 'gemfacet-tuning'): TuningStore {
  if (typeof caches === 'undefined') return tuningsInMemory()
  const requestOf = (key: string): string => `https://tuning.invalid/${encodeURIComponent(key)}`
  return {
    read: (key) =>
      caches
        .open(name)
        .then(async (cache) => (await cache.match(requestOf(key)))?.text())
        .catch(() => undefined), // storage that is switched off
    write: (key, tuning) =>
      caches
        .open(name)
        .then((cache) => cache.put(requestOf(key), new Response(tuning)))
        .catch(() => {}), // storage that is full or switched off
  }
}
