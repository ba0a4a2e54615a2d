/** The word somebody meant when they mistyped one. */

/** The word that was meant, where one is close enough. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const scored = words.map((one) => ({ one, steps: distance(word.toLowerCase(), one.toLowerCase()) }))
  const best = scored.sort((a, b) => a.steps - b.steps)[0]
  return best && best.steps <= Math.max(2, Math.floor(best.one.length / 3)) ? best.one : undefined
}

/** Edits from one word to the other (Levenshtein 1966). */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, char] of [...from].entries()) {
    const next = [index + 1]
    for (let at = 1; at <= to.length; at++) {
      const swap = row[at - 1]! + (char === to[at - 1] ? 0 : 1)
      next.push(Math.min(swap, row[at]! + 1, next[at - 1]! + 1))
    }
    row = next
  }
  return row.at(-1)!
}
