/** Which rows belong together, and the seeded split that never parts them. */
import { randomFrom } from '../../random.ts'

/** Rows in groups that grow together (union-find, Tarjan 1975). Four bytes a row. */
export class Groups {
  #parents = new Uint32Array(1024)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** A row in a group of its own. @returns its number, counted from 0 */
  add(): number {
    const number = this.#count++
    if (number === this.#parents.length) {
      const parents = new Uint32Array(2 * number)
      parents.set(this.#parents)
      this.#parents = parents
    }
    this.#parents[number] = number
    return number
  }

  /** The earlier row names the group. */
  join(one: number, other: number): void {
    const [a, b] = [this.of(one), this.of(other)]
    this.#parents[Math.max(a, b)] = Math.min(a, b)
  }

  /** The first row of its group. */
  of(number: number): number {
    let root = number
    while (this.#parents[root] !== root) {
      this.#parents[root] = this.#parents[this.#parents[root]!]!
      root = this.#parents[root]!
    }
    return root
  }
}

/**
 * Whole groups in an order drawn by the seed, as long as they fit, until `wanted` rows are chosen. A group larger than
 * what is still wanted is passed over.
 *
 * @returns 1 for each row that is chosen
 */
export function chosenRows(groups: Groups, wanted: number, seed: number): Uint8Array {
  const sizes = new Uint32Array(groups.count)
  for (let row = 0; row < groups.count; row++) sizes[groups.of(row)]!++
  const random = randomFrom(seed)
  const keys = new Float64Array(groups.count)
  const roots: number[] = []
  for (let row = 0; row < groups.count; row++) {
    if (sizes[row] === 0) continue
    keys[row] = random()
    roots.push(row)
  }
  roots.sort((a, b) => keys[a]! - keys[b]!)
  const chosen = new Uint8Array(groups.count)
  let left = wanted
  for (const root of roots) {
    if (left === 0) break
    if (sizes[root]! > left) continue
    chosen[root] = 1
    left -= sizes[root]!
  }
  for (let row = 0; row < groups.count; row++) chosen[row] = chosen[groups.of(row)]!
  return chosen
}
