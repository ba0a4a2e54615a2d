/** `gemfacet/guard`: Layers that have what is asked and what is answered judged before it is let through. */
import type { Layer } from '../types.ts'
import { type GuardOptions, passes, questionOf } from './judge.ts'
import { override } from './layer.ts'

export { type AuditOptions, type AuditRecord, audit } from './audit.ts'
export type { Exhibit, GuardOptions, Judge, Judgement, Verdict } from './judge.ts'
export { override, stack } from './layer.ts'
export { type OutputGuardOptions, outputGuard } from './output-guard.ts'
export { toPolicies } from './policies.ts'
export { DEFAULT_POLICIES, type Policy, type ShieldOptions, shieldJudge } from './shield-judge.ts'

/** What may not be asked is not computed: the answer is nothing but the finish reason `content_filter`. */
export function inputGuard(options: GuardOptions): Layer {
  return (next) =>
    override(next, {
      async *chat(request, call = {}) {
        if (await passes('input', { question: questionOf(request) }, options, call)) {
          return yield* next.chat(request, call)
        }
        yield {
          type: 'start',
          id: `refused-${crypto.randomUUID()}`,
          model: next.model.id,
          backend: next.name,
        }
        // Exact: the model was not asked.
        yield { type: 'finish', reason: 'content_filter', usage: { promptTokens: 0, completionTokens: 0 } }
      },
    })
}
