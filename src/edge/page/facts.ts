/** The line below an answer: how much, how fast, how soon. */

export interface Times {
  readonly sentMs: number
  /** When the first text came; undefined where none did. */
  readonly firstMs: number | undefined
  readonly doneMs: number
  readonly tokens: number
  /** Anything to add, '' for an ordinary end. */
  readonly ending: string
}

/** Text that comes in one burst says nothing about the pace; then the wait before it counts too. */
const BURST_MS = 100

/** For example "23 tokens · 41 tokens/s · first after 0.12 s". */
export function factsOf({ sentMs, firstMs, doneMs, tokens, ending }: Times): string {
  const facts: string[] = []
  if (firstMs !== undefined) {
    facts.push(`${tokens} ${tokens === 1 ? 'token' : 'tokens'}`)
    // The first token is the prompt's; the others show the pace.
    const burst = doneMs - firstMs < BURST_MS
    const speed = burst ? (tokens * 1000) / (doneMs - sentMs) : ((tokens - 1) * 1000) / (doneMs - firstMs)
    if (tokens > 1 && Number.isFinite(speed)) facts.push(`${speed.toFixed(speed < 10 ? 1 : 0)} tokens/s`)
    facts.push(`first after ${toSeconds(firstMs - sentMs)}`)
  }
  if (ending) facts.push(ending)
  return facts.join(' · ')
}

function toSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`
}
