/** How much each key may ask in a minute: requests and tokens, as token buckets behind a store. */
import type { MiddlewareHandler } from 'hono'
import { tokensOf } from '../client/answer.ts'
import { FacetError, toFacetError } from '../errors.ts'
import type { ChatRequest, ModelSpec } from '../types.ts'
import type { Report } from './error-response.ts'
import type { EdgeEnv, Exchange } from './exchange.ts'

export interface RateLimits {
  readonly requestsPerMinute?: number
  /** Of prompts and answers together. */
  readonly tokensPerMinute?: number
}

/** A bucket that fills evenly and holds what comes in within a minute. */
export interface Bucket {
  /** Of the key and what is counted, for example `alice requests`. */
  readonly name: string
  readonly perMinute: number
}

export interface Level {
  /** False: the bucket holds too little. */
  readonly taken: boolean
  /** Whole units left, not below 0. */
  readonly remaining: number
  /** Until what was asked for can be taken, 0 where it was. */
  readonly waitMs: number
  /** Until the bucket is full. */
  readonly fullMs: number
}

/** Where the buckets stand. Plug in a shared one where several servers share the limits. */
export interface RateStore {
  /** Takes `amount` if the bucket holds that much, and at least one. */
  take(bucket: Bucket, amount: number): Level | Promise<Level>
  /**
   * Takes `amount` whether it is there or not, and gives back what is below 0. A bucket that owes has to fill
   * first.
   */
  charge(bucket: Bucket, amount: number): Level | Promise<Level>
}

const MINUTE_MS = 60_000
/** Without keys everybody shares one allowance. */
const EVERYBODY = 'everybody'

/** Buckets in this process; they are full when it starts. */
export class MemoryRates implements RateStore {
  readonly #levels = new Map<string, { level: number; atMs: number }>()
  readonly #now: () => number

  /** @param now milliseconds, only ever compared */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  take(bucket: Bucket, amount: number): Level {
    const state = this.#filled(bucket)
    const short = Math.max(amount, 1) - state.level
    if (short <= 0) state.level -= amount
    return toLevel(bucket, state.level, Math.max(0, short))
  }

  charge(bucket: Bucket, amount: number): Level {
    const state = this.#filled(bucket)
    state.level = Math.min(bucket.perMinute, state.level - amount)
    return toLevel(bucket, state.level, 0)
  }

  #filled({ name, perMinute }: Bucket): { level: number; atMs: number } {
    const nowMs = this.#now()
    const state = this.#levels.get(name) ?? { level: perMinute, atMs: nowMs }
    state.level = Math.min(perMinute, state.level + ((nowMs - state.atMs) * perMinute) / MINUTE_MS)
    state.atMs = nowMs
    this.#levels.set(name, state)
    return state
  }
}

function toLevel({ perMinute }: Bucket, level: number, short: number): Level {
  const toMs = (amount: number): number => (amount * MINUTE_MS) / perMinute
  return {
    taken: short === 0,
    remaining: Math.max(0, Math.floor(level)),
    waitMs: toMs(short),
    fullMs: toMs(perMinute - level),
  }
}

export interface RateOptions extends RateLimits {
  /** Default: in this process. */
  readonly store?: RateStore
}

/** What an answer is thought to take at most where nobody says how much the context holds. */
const UNKNOWN_ANSWER_TOKENS = 1024

/** The most these requests will use: their prompts, estimated, and the longest answers they may get. */
export function mostTokens(
  requests: readonly ChatRequest[],
  { contextTokens }: ModelSpec,
  longestAnswer: number | undefined,
): number {
  return requests.reduce((sum, request) => {
    const prompt = tokensOf(request)
    const left = contextTokens === undefined ? Infinity : Math.max(0, contextTokens - prompt)
    const unsaid = contextTokens === undefined ? UNKNOWN_ANSWER_TOKENS : left
    return sum + prompt + Math.min(request.maxTokens ?? longestAnswer ?? unsaid, left)
  }, 0)
}

/**
 * Refuses what is beyond the limits with 429 and Retry-After; every answer says what is left, in the fields
 * of draft-ietf-httpapi-ratelimit-headers-10. A request is let in while there are tokens left; while it runs,
 * the most that it may use is set aside, and what it did not use is given back when it is over. What only looks
 * (GET) counts beside what asks, in a bucket of its own.
 *
 * @param options limits of keys that have none of their own, and of everybody where there are no keys
 */
export function limitRates(options: RateOptions, report: Report): MiddlewareHandler<EdgeEnv> {
  const { store = new MemoryRates(), ...fallback } = options
  return async (c, next) => {
    const exchange = c.get('exchange')
    const asks = c.req.method === 'POST'
    const { requestsPerMinute, tokensPerMinute } = { ...fallback, ...exchange.limits }
    const who = exchange.key ?? EVERYBODY
    const taken: Taken[] = []
    const take = async (
      unit: string,
      perMinute: number | undefined,
      amount: number,
      name: string = unit,
    ): Promise<void> => {
      if (perMinute === undefined) return
      const bucket = { name: `${who} ${name}`, perMinute }
      taken.push({ unit, bucket, level: await store.take(bucket, amount) })
    }
    // Tokens first: a request that is refused for them does not count as one.
    if (asks) await take('tokens', tokensPerMinute, 0)
    if (taken.every(({ level }) => level.taken)) {
      await take('requests', requestsPerMinute, 1, asks ? 'requests' : 'looks')
    }
    if (taken.length === 0) return next()
    tell(exchange, taken)
    const refused = taken.find(({ level }) => !level.taken)
    if (refused) throw toRefusal(refused)
    const tokens = taken.find(({ unit }) => unit === 'tokens')
    if (tokens) settleTokens(exchange, async (amount) => store.charge(tokens.bucket, amount), report)
    await next()
  }
}

interface Taken {
  readonly unit: string
  readonly bucket: Bucket
  readonly level: Level
}

function tell({ headers }: Exchange, taken: readonly Taken[]): void {
  headers.set(
    'ratelimit-policy',
    taken.map(({ unit, bucket }) => `"${unit}";q=${bucket.perMinute};w=60`).join(', '),
  )
  headers.set(
    'ratelimit',
    taken
      .map(({ unit, level }) => `"${unit}";r=${level.remaining};t=${Math.ceil(level.fullMs / 1000)}`)
      .join(', '),
  )
}

function toRefusal({ unit, bucket, level }: Taken): FacetError {
  return new FacetError(
    'rate_limited',
    `This key has used up its ${bucket.perMinute} ${unit} a minute; try again in ${Math.ceil(level.waitMs / 1000)} s.`,
    { retryAfterMs: level.waitMs },
  )
}

/** A store that fails must not cost anybody an answer: it is reported. */
function settleTokens(
  exchange: Exchange,
  charge: (amount: number) => Promise<unknown>,
  report: Report,
): void {
  let reserved = 0
  const fail = (error: unknown): void => report(toFacetError(error))
  exchange.reserve = async (amount) => {
    await charge(amount).then(() => {
      reserved += amount
    }, fail)
  }
  exchange.onSettled(() => {
    const { promptTokens, completionTokens } = exchange.usage
    charge(promptTokens + completionTokens - reserved).catch(fail)
  })
}
