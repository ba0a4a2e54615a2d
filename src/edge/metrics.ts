/** Counters, gauges and histograms, and their text in Prometheus' exposition format 0.0.4. */

export type Labels = Readonly<Record<string, string>>

interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  samples(): Iterable<string>
}

export interface Counter {
  add(amount: number, labels?: Labels): void
}

export interface Gauge {
  set(value: number, labels?: Labels): void
  /** Forgets every value, so that what is gone is not told any more. */
  clear(): void
}

export interface Histogram {
  observe(value: number, labels?: Labels): void
  readonly count: number
  /** The value below which this share (0 to 1) lies, straight between the bucket's bounds; undefined without values. */
  quantile(share: number): number | undefined
}

export class Metrics {
  readonly #families: Family[] = []

  /** @param name ends in `_total` */
  counter(name: string, help: string): Counter {
    const values = new Values()
    this.#families.push({ name, help, type: 'counter', samples: () => values.samples(name) })
    return { add: (amount, labels = {}) => values.add(labels, amount) }
  }

  gauge(name: string, help: string): Gauge {
    const values = new Values()
    this.#families.push({ name, help, type: 'gauge', samples: () => values.samples(name) })
    return { set: (value, labels = {}) => values.set(labels, value), clear: () => values.clear() }
  }

  /** @param bounds upper ends of the buckets, rising; a last one without end is added */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Buckets(name, bounds)
    this.#families.push({ name, help, type: 'histogram', samples: () => histogram.samples() })
    return histogram
  }

  text(): string {
    const lines: string[] = []
    for (const family of this.#families) {
      lines.push(`# HELP ${family.name} ${escaped(family.help)}`, `# TYPE ${family.name} ${family.type}`)
      lines.push(...family.samples())
    }
    return `${lines.join('\n')}\n`
  }
}

/** A number for each set of labels. */
class Values {
  readonly #values = new Map<string, number>()

  add(labels: Labels, amount: number): void {
    const key = toText(labels)
    this.#values.set(key, (this.#values.get(key) ?? 0) + amount)
  }

  set(labels: Labels, value: number): void {
    this.#values.set(toText(labels), value)
  }

  clear(): void {
    this.#values.clear()
  }

  *samples(name: string): Generator<string> {
    for (const [labels, value] of this.#values) yield `${name}${labels} ${value}`
  }
}

interface Series {
  readonly labels: Labels
  /** Of each bucket alone, the one without end included. */
  readonly counts: number[]
  sum: number
}

class Buckets implements Histogram {
  readonly #name: string
  readonly #bounds: readonly number[]
  readonly #series = new Map<string, Series>()

  constructor(name: string, bounds: readonly number[]) {
    this.#name = name
    this.#bounds = bounds
  }

  observe(value: number, labels: Labels = {}): void {
    const key = toText(labels)
    let series = this.#series.get(key)
    if (!series) {
      series = { labels, counts: Array(this.#bounds.length + 1).fill(0), sum: 0 }
      this.#series.set(key, series)
    }
    const bucket = this.#bounds.findIndex((bound) => value <= bound)
    series.counts[bucket < 0 ? this.#bounds.length : bucket]!++
    series.sum += value
  }

  get count(): number {
    return this.#totals().reduce((sum, count) => sum + count, 0)
  }

  quantile(share: number): number | undefined {
    const totals = this.#totals()
    const rank = share * this.count
    if (this.count === 0) return undefined
    let below = 0
    for (const [bucket, count] of totals.entries()) {
      const low = this.#bounds[bucket - 1] ?? 0
      if (below + count >= rank && count > 0) {
        const high = this.#bounds[bucket] ?? low
        return low + ((high - low) * (rank - below)) / count
      }
      below += count
    }
    return this.#bounds.at(-1)
  }

  *samples(): Generator<string> {
    for (const { labels, counts, sum } of this.#series.values()) {
      let below = 0
      for (const [bucket, count] of counts.entries()) {
        below += count
        const le = String(this.#bounds[bucket] ?? '+Inf')
        yield `${this.#name}_bucket${toText({ ...labels, le })} ${below}`
      }
      yield `${this.#name}_sum${toText(labels)} ${sum}`
      yield `${this.#name}_count${toText(labels)} ${below}`
    }
  }

  #totals(): number[] {
    const totals: number[] = Array(this.#bounds.length + 1).fill(0)
    for (const { counts } of this.#series.values()) {
      for (const [bucket, count] of counts.entries()) totals[bucket]! += count
    }
    return totals
  }
}

/** Label values may be anything; names are ours. */
function toText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(text: string): string {
  if (!/[\\\n]/.test(text)) return text
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
