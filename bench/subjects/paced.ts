/** The answers both HTTP servers give: as fast as they can be sent, or so many tokens a second. */
import { setTimeout as delay } from 'node:timers/promises'

/** Models a request may name. */
export const INSTANT = 'instant'
export const PACED = 'paced'

/** The client's API key. */
export const KEY = 'bench-0123456789abcdef'

export const TOKENS_PER_SECOND = 20

/** Milliseconds on the system's own clock, the same in every process. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** Each token's text is the moment at which it was handed over. */
export async function* tokens(model: string, count: number): AsyncGenerator<string, void, undefined> {
  const gapMs = 1000 / TOKENS_PER_SECOND
  const startMs = nowMs()
  for (let i = 0; i < count; i++) {
    if (model === PACED) await delay(Math.max(0, startMs + (i + 1) * gapMs - nowMs()))
    yield nowMs().toFixed(3)
  }
}

/** Bytes in use after everything that can be freed has been. */
export async function heapBytes(): Promise<number> {
  const { gc } = globalThis as { gc?: () => void }
  if (!gc) throw new Error('start the process with --expose-gc')
  for (let i = 0; i < 5; i++) {
    gc()
    // What is freed may have to say so on the event loop before more can be.
    await delay(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Milliseconds this process has computed. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
