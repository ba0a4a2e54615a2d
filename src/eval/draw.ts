/** Numbers drawn by seed and name: what is drawn for one prompt does not depend on which others there are. */
import { createHash } from 'node:crypto'

/** @returns uniform in [0, 1); the same seed and names, the same number */
export function drawOf(seed: number, ...names: readonly string[]): number {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...names]))
    .digest()
  return digest.readUIntBE(0, 6) / 2 ** 48
}

/** A copy in an order that the seed and the name decide. */
export function shuffledBy<Item extends { readonly id: string }>(
  seed: number,
  name: string,
  items: readonly Item[],
): Item[] {
  return items
    .map((item) => ({ item, drawn: drawOf(seed, name, item.id) }))
    .sort((one, other) => one.drawn - other.drawn)
    .map(({ item }) => item)
}
