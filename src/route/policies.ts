/** Ready policies. Each is a plain function, and so is any of your own. */
import { tokensOf } from '../client/answer.ts'
import type { Backend, ChatRequest, Feature } from '../types.ts'
import type { Health, Policy } from './policy.ts'
import { weightOf } from './rendezvous.ts'

/** In the order given to the router. */
export function ordered(): Policy {
  return (_, pool) => [...pool.keys()]
}

/**
 * Shares the requests out by weight; the rest follow, drawn the same way, as fallbacks.
 *
 * @param weights by the backends' names; 1 for those left out, 0: only as a fallback
 * @param random 0 <= random() < 1
 */
export function weighted(
  weights: Readonly<Record<string, number>>,
  random: () => number = Math.random,
): Policy {
  // Efraimidis and Spirakis 2006: sorting by log(u)/w draws without replacement in proportion to w.
  const keyOf = ({ name }: Backend): number => Math.log(1 - random()) / (weights[name] ?? 1)
  return (_, pool) => sortedBy([...pool.keys()], keyOf)
}

/** The smallest declared tier first (ModelSpec.tier); those without one come last. */
export function byTier(): Policy {
  return (_, pool) => sortedBy([...pool.keys()], ({ model }) => -(model.tier ?? Number.POSITIVE_INFINITY))
}

/** The cheapest for this request first, by declared price (ModelSpec.price); those without one cost nothing. */
export function byPrice(): Policy {
  return (request, pool) => sortedBy([...pool.keys()], (backend) => -costOf(backend, request))
}

/**
 * The fastest to the first content first; those not measured yet before all others, so that they are.
 *
 * @param quantile 0.5 for the usual case, 0.95 for the bad one
 */
export function byLatency(quantile = 0.5): Policy {
  return (_, pool) =>
    sortedBy([...pool], ([, health]) => -(health.latencyMs(quantile) ?? 0)).map(([backend]) => backend)
}

/**
 * Leaves out the backends that cannot answer this request: too little context for prompt and
 * maxTokens, or not the features it needs. What a model does not declare it is expected to have.
 */
export function fitting(next: Policy = ordered()): Policy {
  return (request, pool) => next(request, new Map([...pool].filter(([{ model }]) => fits(model, request))))
}

/**
 * The same beginning to the same backend, whose cache has it: rendezvous hashing, so that a backend
 * that comes or goes moves only its own share.
 *
 * @param options.prefixChars how much of the prompt counts as its beginning. Default: 1024
 * @param options.maxLoad a backend with more than this multiple of the average requests under way
 *   is passed over. Default: 2
 */
export function sticky(options: { readonly prefixChars?: number; readonly maxLoad?: number } = {}): Policy {
  const { prefixChars = 1024, maxLoad = 2 } = options
  return (request, pool) => {
    const prefix = textOf(request).slice(0, prefixChars)
    const order = sortedBy([...pool], ([{ name }]) => weightOf(name, prefix))
    const active = order.reduce((sum, [, health]) => sum + health.active, 0)
    const most = Math.ceil(((active + 1) / order.length) * maxLoad)
    const isBusy = ([, health]: readonly [Backend, Health]): boolean => health.active >= most
    return [...order.filter((entry) => !isBusy(entry)), ...order.filter(isBusy)].map(([backend]) => backend)
  }
}

/** What the request costs at most, in the currency of the prices; without maxTokens only its prompt. */
function costOf({ model }: Backend, request: ChatRequest): number {
  const { prompt = 0, completion = 0 } = model.price ?? {}
  return (tokensOf(request) * prompt + (request.maxTokens ?? 0) * completion) / 1e6
}

function fits({ contextTokens, features }: Backend['model'], request: ChatRequest): boolean {
  const tokens = tokensOf(request) + (request.maxTokens ?? 1)
  if (contextTokens !== undefined && tokens > contextTokens) return false
  return !features || needsOf(request).every((feature) => features.includes(feature))
}

function needsOf({ tools, responseFormat, logprobs }: ChatRequest): Feature[] {
  return [
    ...(tools?.length ? ['tools' as const] : []),
    ...(responseFormat?.type === 'json_schema' ? ['json_schema' as const] : []),
    ...(logprobs === undefined ? [] : ['logprobs' as const]),
  ]
}

/** The prompt as text, only to compare beginnings. */
function textOf({ messages, prompt }: ChatRequest): string {
  if (messages) return messages.map(({ role, content }) => `${role}\n${content}\n`).join('')
  return typeof prompt === 'string' ? prompt : prompt.join(' ')
}

/** Highest key first; equal keys stay as they stood. */
function sortedBy<T>(items: readonly T[], keyOf: (item: T) => number): T[] {
  return items
    .map((item) => ({ item, key: keyOf(item) }))
    .sort((a, b) => (a.key === b.key ? 0 : b.key - a.key))
    .map(({ item }) => item)
}
