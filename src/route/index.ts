/** `gemfacet/route`: one Backend in front of many. No dependency, no `node:`. */
export { type BudgetOptions, type BudgetStore, budget, memoryStore, type Spent } from './budget.ts'
export { type EscalationOptions, escalation } from './escalation.ts'
export type {
  BreakerOptions,
  Budget,
  Call,
  CommitRule,
  HedgeOptions,
  Held,
  Reservation,
  RouterCallOptions,
  RouterOptions,
  Telemetry,
} from './options.ts'
export { byLatency, byPrice, byTier, fitting, ordered, sticky, weighted } from './policies.ts'
export type { Health, Policy } from './policy.ts'
export { type Pool, type Router, router } from './router.ts'
