/** eval.json of the sample model, and how its pairs are asked. */

/** Documents and answers computed at the same time. */
export const SLOTS = 8

export type Pair = readonly [tool: string, description: string, command: string, platform: string]

export interface Evaluation {
  readonly train_documents: readonly string[]
  readonly heldout_documents: readonly string[]
  readonly train_pairs: readonly Pair[]
  readonly heldout_pairs: readonly Pair[]
}

export function questionOf([tool, description]: readonly [string, string, ...unknown[]]): string {
  return `How do I ${description.charAt(0).toLowerCase()}${description.slice(1)} with ${tool}?`
}

/** Works on all items, SLOTS at a time. */
export async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const left = items.entries()
  const take = async (): Promise<void> => {
    for (const [i, item] of left) {
      progress(i, items.length)
      await work(item, i)
    }
  }
  await Promise.all(Array.from({ length: SLOTS }, take))
}

export function progress(index: number, count: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${index + 1} of ${count}   `)
}
