/** A table from 64-bit hashes to 32-bit numbers in typed arrays: 17 to 34 bytes an entry, and no objects. */

/** Slots to begin with; always a power of two. */
const LEAST = 1024
/** Share of slots that may be taken. */
const LOAD = 0.7

export class HashTable {
  #high = new Uint32Array(LEAST)
  #low = new Uint32Array(LEAST)
  /** One more than the value; 0: free. */
  #values = new Uint32Array(LEAST)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(high: number, low: number): number | undefined {
    const value = this.#values[this.#slot(high, low)]!
    return value === 0 ? undefined : value - 1
  }

  /** @param value from 0 to 2^32 - 2 */
  set(high: number, low: number, value: number): void {
    if (this.#size >= LOAD * this.#values.length) this.#grow()
    const slot = this.#slot(high, low)
    if (this.#values[slot] === 0) this.#size++
    this.#high[slot] = high
    this.#low[slot] = low
    this.#values[slot] = value + 1
  }

  /** Where the key is, or would be: hashes need no more mixing. */
  #slot(high: number, low: number): number {
    const mask = this.#values.length - 1
    const [wantedHigh, wantedLow] = [high >>> 0, low >>> 0]
    let slot = wantedLow & mask
    while (this.#values[slot] !== 0 && (this.#high[slot] !== wantedHigh || this.#low[slot] !== wantedLow)) {
      slot = (slot + 1) & mask
    }
    return slot
  }

  #grow(): void {
    const [high, low, values] = [this.#high, this.#low, this.#values]
    this.#high = new Uint32Array(2 * high.length)
    this.#low = new Uint32Array(2 * low.length)
    this.#values = new Uint32Array(2 * values.length)
    for (let at = 0; at < values.length; at++) {
      if (values[at] === 0) continue
      const slot = this.#slot(high[at]!, low[at]!)
      this.#high[slot] = high[at]!
      this.#low[slot] = low[at]!
      this.#values[slot] = values[at]!
    }
  }
}
