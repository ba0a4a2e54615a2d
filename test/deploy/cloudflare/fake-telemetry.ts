/** Workers Logs' own queries over what Workers have logged: filters, then groups, as the real service answers them. */
import type { Logged } from './fake-worker.ts'

interface Query {
  readonly view: 'events' | 'calculations'
  readonly limit: number
  readonly parameters: {
    readonly filters: readonly {
      readonly key: string
      readonly operation: 'eq' | 'gte'
      readonly type: 'string' | 'number'
      readonly value: string | number
    }[]
    readonly groupBys?: readonly { readonly type: string; readonly value: string }[]
  }
}

export function answerQuery(logged: readonly Logged[], { view, limit, parameters }: Query): object {
  const matching = logged.filter((one) =>
    parameters.filters.every(({ key, operation, type, value }) => {
      const found = one[key]
      if (found === undefined || typeof found !== type) return false
      return operation === 'eq' ? found === value : found >= value
    }),
  )
  if (view === 'events') {
    const lines = matching.filter((one) => '$metadata.message' in one).toReversed()
    const events = lines.map((one) => ({ $metadata: { message: one['$metadata.message'] } }))
    return { events: { events: events.slice(0, limit) } }
  }
  const groupBys = parameters.groupBys ?? []
  const groups = new Map<string, { groups: object[]; value: number }>()
  for (const one of matching) {
    // What lacks a key is in no group.
    if (groupBys.some(({ value, type }) => typeof one[value] !== type)) continue
    const key = JSON.stringify(groupBys.map(({ value }) => one[value]))
    const group = groups.get(key) ?? {
      groups: groupBys.map(({ value }) => ({ key: value, value: one[value] })),
      value: 0,
    }
    group.value++
    groups.set(key, group)
  }
  return { calculations: [{ calculation: 'count', aggregates: [...groups.values()].slice(0, limit) }] }
}
