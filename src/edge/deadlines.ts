/** Time limits of every answer, whatever the backend makes of them. */
import { watch } from '../engine/limits.ts'
import { FacetError } from '../errors.ts'
import { override } from '../guard/layer.ts'
import type { ChatEvent, Layer, Timeouts } from '../types.ts'
import { type Ask, asking } from './asking.ts'

/** For engines on slow machines with long prompts; servers with faster ones set them lower. */
export const DEFAULT_TIMEOUTS: Timeouts = { firstTokenMs: 300_000, idleMs: 60_000, totalMs: 1_800_000 }

/**
 * Ends an answer with `timeout` when it is late. The time a reader takes counts as idle: one who has gone
 * without a word stops reading, and would hold the backend for ever.
 */
export function withDeadlines(timeouts: Timeouts): Layer {
  return (next) =>
    override(asking(next, wholly(timeouts, next.name)), {
      async *chat(request, options = {}) {
        const over = new AbortController()
        let ended = false
        /** Ends the waiting for an event, should the backend not heed its signal. */
        let fail = (_error: FacetError): void => {}
        const limits = watch(
          { ...options, timeouts: { ...timeouts, ...options.timeouts } },
          (error) => {
            over.abort(error)
            fail(error)
          },
          next.name,
        )
        const events = next.chat(request, { ...options, signal: over.signal })[Symbol.asyncIterator]()
        try {
          for (;;) {
            const { done, value } = await new Promise<IteratorResult<ChatEvent>>((resolve, reject) => {
              fail = reject
              events.next().then(resolve, reject)
            })
            if (done) {
              ended = true
              return
            }
            if (value.type !== 'start') limits.content()
            yield value
            if (over.signal.aborted) throw over.signal.reason
          }
        } finally {
          limits.clear()
          if (!ended) {
            over.abort(new FacetError('aborted', 'The answer was left.'))
            // Not awaited: a backend that does not heed its signal may take its time.
            events.return?.().then(undefined, () => undefined)
          }
        }
      },
    })
}

/** What answers once has one limit, that of the whole answer. */
function wholly({ totalMs }: Timeouts, who: string): Ask {
  return async (options = {}, ask) => {
    const over = new AbortController()
    const late = Promise.withResolvers<never>()
    const limits = watch(
      { ...options, timeouts: { totalMs: options.timeouts?.totalMs ?? totalMs } },
      (error) => {
        over.abort(error)
        late.reject(error)
      },
      who,
    )
    try {
      return await Promise.race([ask({ ...options, signal: over.signal }), late.promise])
    } finally {
      limits.clear()
    }
  }
}
