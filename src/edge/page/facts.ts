/** The line below an answer: how much, how fast, how soon. */
import { type Exchange, SERVER } from './conversation.ts'

/** Text that comes in one burst says nothing about the pace; then the wait before it counts too. */
const BURST_MS = 100

const ENDINGS: Readonly<Partial<Record<Exchange['outcome'], string>>> = {
  cut: 'cut at the token limit',
  stopped: 'stopped',
}

/** For example "23 tokens · 41 tokens/s · first after 0.12 s". '' while it is running. */
export function factsOf({ outcome, answer, usage, times, place }: Exchange): string {
  const { sentMs, firstMs, doneMs } = times
  if (outcome === 'running' || outcome === 'failed' || doneMs === undefined) return ''
  const facts: string[] = []
  if (firstMs !== undefined) {
    const tokens = usage?.completionTokens ?? 0
    const about = usage?.estimated ? 'about ' : ''
    facts.push(`${about}${tokens} ${tokens === 1 ? 'token' : 'tokens'}`)
    // The first token is the prompt's; the others show the pace.
    const burst = doneMs - firstMs < BURST_MS
    const speed = burst ? (tokens * 1000) / (doneMs - sentMs) : ((tokens - 1) * 1000) / (doneMs - firstMs)
    if (tokens > 1 && Number.isFinite(speed)) facts.push(`${speed.toFixed(speed < 10 ? 1 : 0)} tokens/s`)
    facts.push(`first after ${toSeconds(firstMs - sentMs)}`)
  }
  if (place !== SERVER) facts.push(place)
  const ending = ENDINGS[outcome] ?? (answer === '' ? 'The model had nothing to say.' : undefined)
  if (ending) facts.push(ending)
  return facts.join(' · ')
}

function toSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`
}
