/** Quantiles of recent durations, in constant memory. */

/** Enough that the 97th percentile stands on a handful of samples. */
const SIZE = 256
/** Samples lose half their weight in five minutes. */
const DECAY_PER_MS = Math.LN2 / 300_000

/**
 * A forward-decaying sample: the newer a value, the likelier it is kept.
 *
 * Source: Cormode et al. 2009, "Forward Decay: A Practical Time Decay Model for Streaming Systems".
 * Keys are logarithms of the paper's, which never overflow and so need no rescaling.
 */
export class Reservoir {
  readonly #random: () => number
  #kept: { readonly key: number; readonly value: number }[] = []
  #sorted: number[] | undefined

  constructor(random: () => number) {
    this.#random = random
  }

  get size(): number {
    return this.#kept.length
  }

  /** @param ticksMs never jumps: see Clock.ticks */
  add(value: number, ticksMs: number): void {
    const key = DECAY_PER_MS * ticksMs - Math.log(1 - this.#random())
    this.#sorted = undefined
    if (this.#kept.length < SIZE) {
      this.#kept.push({ key, value })
      return
    }
    let least = 0
    for (let at = 1; at < SIZE; at++) if (this.#kept[at]!.key < this.#kept[least]!.key) least = at
    if (key > this.#kept[least]!.key) this.#kept[least] = { key, value }
  }

  /** The least value that this share of the samples does not exceed; undefined without samples. */
  quantile(share: number): number | undefined {
    this.#sorted ??= this.#kept.map(({ value }) => value).sort((a, b) => a - b)
    const rank = Math.ceil(share * this.#sorted.length) - 1
    return this.#sorted[Math.max(0, rank)]
  }
}
