/** Facet's router as a subject of the failover scenarios. */
import type { Clock } from '../../src/client/deadline.ts'
import { createClient } from '../../src/client/http.ts'
import type { RouterOptions } from '../../src/route/options.ts'
import { router } from '../../src/route/router.ts'
import type { Outcome, Subject, Times } from './scenarios.ts'

export interface Endpoints {
  readonly primary: string
  readonly fallback: string
}

export function facetSubject(
  { primary, fallback }: Endpoints,
  times: Times,
  options: Pick<RouterOptions, 'commit' | 'random'> & { readonly clock?: Clock } = {},
): Subject {
  const { clock } = options
  const timeouts = { firstTokenMs: times.firstTokenLimitMs, idleMs: times.idleLimitMs }
  const breaker = { openMs: times.everyMs, maxOpenMs: times.outageMs / 3 }
  const backends = [
    createClient({ baseURL: primary, name: 'primary', ...(clock && { clock }) }),
    createClient({ baseURL: fallback, name: 'fallback', ...(clock && { clock }) }),
  ]
  const gemma = router(backends, { timeouts, breaker, ...options })
  return {
    fallback: true,
    async ask({ signal, onText } = {}): Promise<Outcome> {
      let text = ''
      let model: string | undefined
      try {
        const request = { messages: [{ role: 'user', content: 'Say the words.' }] } as const
        for await (const event of gemma.chat(request, signal && { signal })) {
          if (event.type === 'start') model = event.model
          if (event.type === 'finish') return { ok: true, text, model, usage: !event.usage.estimated }
          if (event.type !== 'text') continue
          text += event.text
          if (onText?.() === 'leave') break
        }
        return { ok: false, text, model, error: 'left' }
      } catch (error) {
        return { ok: false, text, model, error: String(error) }
      }
    },
  }
}
