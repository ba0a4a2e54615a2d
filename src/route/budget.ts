/** Budgets: so much money, so many tokens in each window of time, kept in a store that can be shared. */
import { tokensOf } from '../client/answer.ts'
import { type Clock, systemClock } from '../client/deadline.ts'
import { FacetError } from '../errors.ts'
import type { ModelSpec } from '../types.ts'
import type { Budget } from './options.ts'

export interface Spent {
  readonly tokens: number
  /** In the currency of the prices. */
  readonly money: number
}

/** Where what was spent is kept: memory, a database, a Durable Object. */
export interface BudgetStore {
  /** Adds to what stands under the key, in one step, and gives the new sum. Amounts may be negative or 0. */
  add(key: string, amount: Spent): Promise<Spent>
}

export interface BudgetOptions {
  /** Tokens of prompt and answer in each window. Left out: no limit. */
  readonly tokens?: number
  /** Money in each window, by the prices the backends declare; those without one cost nothing. */
  readonly money?: number
  /** Windows follow each other from the Unix epoch on: 86_400_000 is a day in UTC. */
  readonly windowMs: number
  /** Default: this process's memory. */
  readonly store?: BudgetStore
  /** Tells budgets in one store apart. Default: `budget`. */
  readonly name?: string
  readonly clock?: Pick<Clock, 'now'>
}

/**
 * A budget for a router. What a request may cost at most is reserved before it is sent, and what it
 * did cost is settled when it ends, however it ends; so calls beside each other cannot overspend it
 * together. A request without maxTokens is reserved with its prompt alone.
 *
 * A backend that the budget refuses is passed over; one that costs nothing stays within any money.
 *
 * @throws FacetError invalid_request, with the option at fault
 */
export function budget(options: BudgetOptions): Budget {
  const { tokens = Number.POSITIVE_INFINITY, money = Number.POSITIVE_INFINITY, windowMs } = options
  const { store = memoryStore(), name = 'budget', clock = systemClock } = options
  for (const [field, value] of Object.entries({ tokens, money, windowMs })) {
    if (typeof value === 'number' && value > 0) continue
    const message = `${field} must be a number greater than 0, but is ${value}.`
    throw new FacetError('invalid_request', message, { field })
  }
  return {
    async reserve({ model }, request) {
      const nowMs = clock.now()
      const window = Math.floor(nowMs / windowMs)
      const key = `${name}:${windowMs}:${window}`
      const most = amountOf(model, tokensOf(request), request.maxTokens ?? 0)
      const sum = await store.add(key, most)
      const add = async (amount: Spent): Promise<void> => void (await store.add(key, amount))
      const over = (most.money > 0 && sum.money > money && 'money') || (sum.tokens > tokens && 'tokens')
      if (!over) {
        return ({ promptTokens, completionTokens }) =>
          add(minus(amountOf(model, promptTokens, completionTokens), most))
      }
      await add(minus(NOTHING, most))
      const spent = minus(sum, most)
      return refusal(over, { spent, most, limit: { tokens, money }, waitMs: (window + 1) * windowMs - nowMs })
    },
  }
}

/** Sums in this process's memory; those of past windows are forgotten. */
export function memoryStore(): BudgetStore {
  const sums = new Map<string, Spent>()
  return {
    async add(key, amount) {
      const sum = plus(sums.get(key) ?? NOTHING, amount)
      // The key added last stays last, so the first is the one longest unused.
      sums.delete(key)
      sums.set(key, sum)
      if (sums.size > MAX_KEPT_WINDOWS) sums.delete(sums.keys().next().value!)
      return sum
    },
  }
}

/** A call may end in a later window than it began in. */
const MAX_KEPT_WINDOWS = 100
const NOTHING: Spent = { tokens: 0, money: 0 }

function amountOf({ price }: ModelSpec, promptTokens: number, completionTokens: number): Spent {
  const { prompt = 0, completion = 0 } = price ?? {}
  return {
    tokens: promptTokens + completionTokens,
    money: (promptTokens * prompt + completionTokens * completion) / 1e6,
  }
}

function plus(a: Spent, b: Spent): Spent {
  return { tokens: a.tokens + b.tokens, money: a.money + b.money }
}

function minus(a: Spent, b: Spent): Spent {
  return { tokens: a.tokens - b.tokens, money: a.money - b.money }
}

interface Figures {
  readonly spent: Spent
  readonly most: Spent
  readonly limit: Spent
  readonly waitMs: number
}

function refusal(of: keyof Spent, { spent, most, limit, waitMs }: Figures): FacetError {
  const show = (amount: Spent): string => (of === 'money' ? amount.money.toFixed(4) : String(amount.tokens))
  const message =
    `This request may cost ${show(most)} of ${of}, but ${show(spent)} of the budget's ${show(limit)} are spent; ` +
    `wait ${Math.ceil(waitMs / 1000)} s for the next window, or raise the budget.`
  return new FacetError('budget_exceeded', message)
}
