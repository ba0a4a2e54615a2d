/** What the benchmark found: samples by engine and metric, medians, and the ratios of the peers to Facet. */

export interface Result {
  readonly engine: string
  readonly metric: string
  readonly median: number | null
  readonly min: number | null
  readonly max: number | null
  readonly unit: string
  /** Why there is none. */
  readonly reason?: string
}

/** Above 1 Facet is faster, where not said otherwise. null: one of the two could not be measured. */
export interface Ratios {
  readonly decode: {
    readonly ortWeb: number | null
    readonly wllama: number | null
    readonly llamaCpp: number | null
    /** Share of what the machine's read bandwidth allows. */
    readonly bandwidth: number | null
  }
  readonly prefill: { readonly wllama: number | null; readonly llamaCpp: number | null }
  /** Decode speed with a long context against a short one. */
  readonly longContext: number | null
  /** Tokens a second of four sequences together against one. */
  readonly batch4: number | null
  /** First token after a prefix already seen, as a fraction of the first time. */
  readonly prefixHit: number | null
  /** Peak memory as a multiple of the model file and a full KV cache. */
  readonly peakMemory: number | null
  /** Time to load as a multiple of reading the file into fresh WebAssembly memory and hashing it. */
  readonly load: number | null
}

/** Ratios of `bench -- webgpu`, in the same sense. */
export interface GpuRatios {
  readonly decode: {
    readonly ortWebGpu: number | null
    /** Share of what the GPU's measured read bandwidth allows. */
    readonly bandwidth: number | null
  }
  readonly prefill: { readonly ortWebGpu: number | null }
  /** Decode speed with a long context against a short one. */
  readonly longContext: number | null
  /** Tokens a second of sixteen sequences together against one. */
  readonly batch16: number | null
}

/** What `bench -- adapters` found: by how much of itself a step becomes longer, by the adapter's rank. */
export interface AdapterRatios {
  readonly decode8: number
  readonly decode16: number
  readonly prompt8: number
  readonly prompt16: number
}

/** What `bench -- shapes` found: how many times as fast as the 2B smaller Gemmas decode. */
export interface ShapeRatios {
  readonly decode1b: number | null
  readonly decode270m: number | null
  /** With a long context in both. */
  readonly longDecode270m: number | null
}

export interface Machine {
  /** The adapter's name, where one was measured. */
  readonly gpu?: string
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly platform: string
  readonly node: string
  /** Versions of the peers. */
  readonly engines: Readonly<Record<string, string>>
  /** One minute's load before the first measurement. */
  readonly loadAverage: number
  readonly date: string
}

export interface ModelFacts {
  readonly name: string
  readonly parameters: number
  readonly quantization: string
  readonly fileBytes: number
  /** Quantized weights and norms, all of which a decode step reads. */
  readonly weightBytes: number
}

export interface Report<Compared = Ratios> {
  readonly machine: Machine
  readonly model: ModelFacts
  readonly results: readonly Result[]
  readonly ratios: Compared
}

/** What a benchmark of Facet by itself is told. */
export interface OwnBenchOptions {
  readonly rounds: number
  /** A small model: shows within a minute that everything runs. */
  readonly quick: boolean
  /** Folder that models are kept in. */
  readonly cache: string
  readonly say: (text: string) => void
}

/** What `npm run bench -- http` found. */
export interface HttpReport {
  readonly machine: Machine
  readonly results: readonly Result[]
  readonly ratios: {
    /** Requests a second against a bare Hono stream's, the median over rounds. */
    readonly requests: number | null
    /** Requests for the same processor time against a bare Hono stream's: what other programs cannot disturb. */
    readonly cpu: number | null
    /** 99th percentile of a token's way through the server, as a multiple of a bare Hono stream's. */
    readonly tokenP99: number | null
    /** Heap after 10,000 more requests as a multiple of that before. */
    readonly heap: number | null
  }
}

interface Entry {
  readonly engine: string
  readonly metric: string
  readonly unit: string
  readonly values: number[]
  reason?: string
}

export class Results {
  readonly #entries = new Map<string, Entry>()
  readonly #say: (text: string) => void

  /** @param say is told every value as it comes */
  constructor(say: (text: string) => void) {
    this.#say = say
  }

  /** One round's value. */
  add(engine: string, metric: string, unit: string, value: number): void {
    this.#entry(engine, metric, unit).values.push(value)
    this.#say(`  ${engine}: ${metric} ${round(value)} ${unit}`)
  }

  fail(engine: string, metric: string, unit: string, reason: string): void {
    this.#entry(engine, metric, unit).reason ??= reason
  }

  median(engine: string, metric: string): number | null {
    return median(this.#entries.get(`${engine} ${metric}`)?.values ?? [])
  }

  list(): Result[] {
    return [...this.#entries.values()].map(({ engine, metric, unit, values, reason }) => ({
      engine,
      metric,
      median: round(median(values)),
      min: round(values.length > 0 ? Math.min(...values) : null),
      max: round(values.length > 0 ? Math.max(...values) : null),
      unit,
      ...(values.length === 0 && { reason: reason ?? 'it was not measured' }),
    }))
  }

  #entry(engine: string, metric: string, unit: string): Entry {
    const key = `${engine} ${metric}`
    const known = this.#entries.get(key)
    if (known) return known
    const entry: Entry = { engine, metric, unit, values: [] }
    this.#entries.set(key, entry)
    return entry
  }
}

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** a / b, or null where either is missing. */
export function ratio(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : round(a / b)
}

/** Four significant digits. */
export function round<Value extends number | null>(value: Value): Value {
  return (value === null ? null : Number(value.toPrecision(4))) as Value
}
