/** Ends a text before a stop string, and never sends part of one. */

export interface StopFilter {
  /** True once a stop string is complete; everything pushed from then on is dropped. */
  readonly stopped: boolean
  /** Returns what may be sent now: all but what may still become a stop string. */
  push(text: string): string
  /** The text is over: returns what was held back, for it became no stop string. */
  flush(): string
}

/**
 * The text ends at the stop string that is complete first; of several that are complete with the same
 * character, at the longest. How the text is cut into pieces makes no difference.
 *
 * @param stops non-empty strings
 */
export function createStopFilter(stops: readonly string[]): StopFilter {
  let held = ''
  let stopped = false
  return {
    get stopped(): boolean {
      return stopped
    },
    push(text: string): string {
      if (stopped) return ''
      held += text
      const end = firstStop(held, stops)
      stopped = end !== undefined
      const send = held.slice(0, end ?? held.length - openLength(held, stops))
      held = stopped ? '' : held.slice(send.length)
      return send
    },
    flush(): string {
      const rest = held
      held = ''
      return rest
    },
  }
}

/** Where the stop string that ends first starts. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
  let start: number | undefined
  let end = Number.POSITIVE_INFINITY
  for (const stop of stops) {
    const at = text.indexOf(stop)
    if (at < 0) continue
    const stopEnd = at + stop.length
    if (stopEnd < end || (stopEnd === end && at < start!)) {
      start = at
      end = stopEnd
    }
  }
  return start
}

/** The length of the longest end of the text that begins a stop string. */
function openLength(text: string, stops: readonly string[]): number {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1))
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(-length)
    if (stops.some((stop) => stop.startsWith(end))) return length
  }
  return 0
}
