/** How long to wait before a service that failed in passing is asked again. */
import type { FacetError } from '../errors.ts'

/** In all, before it counts as failed for good. */
export const TRIES = 6
const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 60_000

/** As long as the service says, or twice as long after each try. @param tries so far, from 1 */
export function backoffMs({ retryAfterMs }: FacetError, tries: number): number {
  return retryAfterMs ?? Math.min(FIRST_WAIT_MS * 2 ** (tries - 1), LONGEST_WAIT_MS)
}
