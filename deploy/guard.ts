/** What a deployment has cost since it was brought up, by its plan's prices, and whether its limits are reached. */
import { dollarsPerHour, type Plan } from './plan.ts'
import { toDuration } from './waiting.ts'

const HOUR_MS = 3_600_000

export interface GuardState {
  readonly hours: number
  /** At most: all replicas, all the time. Undefined where no price is on file. */
  readonly dollars: number | undefined
  /** Undefined as long as no limit is reached. */
  readonly due: 'dollars' | 'ttlHours' | undefined
  /** One sentence. */
  readonly says: string
}

/** @param sinceMs when it was brought up; @param nowMs the same clock */
export function guardState(plan: Plan, sinceMs: number, nowMs: number): GuardState {
  const { guard = {} } = plan.spec
  const hours = Math.max(0, nowMs - sinceMs) / HOUR_MS
  const hour = dollarsPerHour(plan)
  const dollars = hour === undefined ? undefined : hour * hours
  const overTime = guard.ttlHours !== undefined && hours >= guard.ttlHours
  const overMoney = guard.dollars !== undefined && dollars !== undefined && dollars >= guard.dollars
  const due = overTime ? 'ttlHours' : overMoney ? 'dollars' : undefined
  const up = `up for ${toDuration(nowMs - sinceMs)}`
  const spent =
    dollars === undefined ? 'at a price nobody knows' : `at most $${dollars.toFixed(2)} by the plan`
  const end =
    due === undefined
      ? limits(guard)
      : `, so that guard.${due} (${guard[due]}) is reached; take it down with facet down ${plan.name}`
  return { hours, dollars, due, says: `It has been ${up}, ${spent}${end}.` }
}

function limits({ dollars, ttlHours }: NonNullable<Plan['spec']['guard']>): string {
  const words = [
    ...(dollars === undefined ? [] : [`$${dollars}`]),
    ...(ttlHours === undefined ? [] : [`${ttlHours} h`]),
  ]
  return words.length === 0 ? '; no limit is set' : `, of ${words.join(' and ')}`
}
