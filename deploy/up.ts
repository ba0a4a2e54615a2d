/** Brings a deployment up: reads, compares, applies what differs, and waits until the model answers. */
import { FacetError } from '../src/errors.ts'
import type { Endpoint } from '../src/types.ts'
import type { CauseName, Finding } from './cause.ts'
import { type ClaimOptions, claimed } from './claiming.ts'
import { classify, unavailable } from './classify.ts'
import { listening } from './listening.ts'
import { type RemoveOptions, readAll, remove, sayAction } from './remove.ts'
import { type Action, diff, type JsonObject, type LiveResource, type Target } from './target.ts'
import { type Context, call, systemClock, until } from './waiting.ts'

export interface UpOptions extends RemoveOptions, Pick<ClaimOptions, 'claimant'> {
  /** Until a resource that others need is there. Default 30 minutes. */
  readonly resourceMs?: number
  /** Until the model answers, with machines to be had and weights to be copied. Default an hour. */
  readonly readyMs?: number
  /** How long a cause that mends itself only now and then may last. Default 3 minutes. */
  readonly patienceMs?: number
}

export interface Up {
  /** Empty where everything was as wanted. */
  readonly applied: readonly Action[]
  readonly finding: Finding
  readonly endpoint: Endpoint | undefined
}

const RESOURCE_MS = 30 * 60_000
const READY_MS = 60 * 60_000
const PATIENCE_MS = 3 * 60_000

/** These pass by themselves, or never: waiting tells. Every other cause is somebody's to mend. */
export const PASSING: readonly CauseName[] = ['LOADING', 'STOCKOUT', 'READY']

export interface CompareOptions extends Context {
  /** Takes what a dry run refuses, such as a field that somebody set by hand. Left out: it is thrown. */
  readonly onRefused?: (refusal: FacetError) => void
}

/** What must be done, and nothing else: no call of these changes anything. */
export async function compare<Config>(
  target: Target<Config>,
  config: Config,
  owner: string,
  context: CompareOptions,
): Promise<{ readonly actions: Action[]; readonly live: LiveResource[] }> {
  if (target.prepare) {
    const prepare = (signal: AbortSignal): Promise<void> => target.prepare!(config, signal)
    await call(`prepare ${owner}`, prepare, slow(target, context))
  }
  const want = target.want(config)
  const live = await call(`read ${owner}`, (signal) => target.read(config, signal), context)
  const there = new Map(live.map((one) => [one.id, one]))
  const previews = new Map<string, JsonObject>()
  for (const one of want) {
    const found = there.get(one.id)
    // What is not ours is not even tried: diff refuses it.
    if (!target.preview || found?.owner !== owner) continue
    const body = await call(
      `compare ${one.kind} ${one.name}`,
      (signal) => target.preview!(one, found, signal),
      context,
    ).catch((error: unknown) => {
      const refused = error instanceof FacetError && error.code === 'invalid_request'
      if (!refused || !context.onRefused) throw error
      context.onRefused(error)
      return found.body
    })
    previews.set(one.id, body)
  }
  return { actions: diff(want, live, { owner, previews }), live }
}

/**
 * May be broken off at any point and run again: it goes on from what is there.
 *
 * @throws FacetError timeout, aborted, unavailable with the cause and what to do about it, or invalid_request
 *   where somebody else is at work
 */
export function up<Config>(target: Target<Config>, config: Config, options: UpOptions): Promise<Up> {
  return listening(target, config, options, (own) => bring(target, config, own))
}

async function bring<Config>(target: Target<Config>, config: Config, options: UpOptions): Promise<Up> {
  await gone(target, config, options)
  const { actions } = await compare(target, config, options.owner, options)
  // Who changes nothing is in nobody's way, and writes nothing.
  if (actions.length === 0) return carryOut(target, config, actions, options)
  return claimed(target, config, options, (own) => carryOut(target, config, actions, own))
}

async function carryOut<Config>(
  target: Target<Config>,
  config: Config,
  actions: readonly Action[],
  options: UpOptions,
): Promise<Up> {
  const { onStep, fence } = options
  const stood = new Set<string>()
  for (const action of actions) {
    if (action.type === 'delete') continue
    await dependencies(target, config, action, stood, options)
    const what = sayAction(action)
    onStep?.({ type: 'doing', what })
    await fence?.()
    await call(what, (signal) => target.apply(action, signal), slow(target, options))
    onStep?.({ type: 'done', what })
  }
  await standing(target, config, options)
  const finding = await answering(target, config, options)
  // Last: what is replaced has answered until now.
  const stale = actions.flatMap((action) => (action.type === 'delete' ? [action.live] : []))
  await remove(target, config, stale, options)
  const live = await readAll(target, config, options)
  if (actions.length > 0) checkStands(target, config, live, options)
  return { applied: actions, finding, endpoint: target.endpoint(live) }
}

/**
 * Where nobody can claim a deployment, two runs may write over each other: the later wins, and the earlier
 * must not say that what it wanted stands.
 */
function checkStands<Config>(
  target: Target<Config>,
  config: Config,
  live: readonly LiveResource[],
  { owner }: UpOptions,
): void {
  if (target.claim) return
  const other = diff(target.want(config), live, { owner }).find(({ type }) => type !== 'delete')
  if (!other) return
  throw new FacetError(
    'unavailable',
    `CONFLICT: ${owner} was changed by somebody else meanwhile: it would take ${sayAction(other)}. Agree on one facet.config.ts, and run the command again.`,
    { retry: 'never' },
  )
}

function slow<Config>({ slowMs }: Target<Config>, context: Context): Context {
  return slowMs === undefined ? context : { ...context, callMs: Math.max(slowMs, context.callMs ?? 0) }
}

/** Waits for the end of what an interrupted `down` has begun. */
async function gone<Config>(target: Target<Config>, config: Config, options: UpOptions): Promise<void> {
  await until(
    options.resourceMs ?? RESOURCE_MS,
    async () => {
      const live = await readAll(target, config, options)
      const leaving = live.find((one) => one.leaving && one.owner === options.owner)
      return leaving ? `${leaving.kind} ${leaving.name} is being deleted.` : {}
    },
    options,
  )
}

/**
 * Waits for what must be there before.
 *
 * @param stood ids that this run has seen ready, and need not look for again
 */
async function dependencies<Config>(
  target: Target<Config>,
  config: Config,
  action: Exclude<Action, { readonly type: 'delete' }>,
  stood: Set<string>,
  options: UpOptions,
): Promise<void> {
  const { kind, name } = action.want
  const after = (action.want.after ?? []).filter((id) => !stood.has(id))
  if (after.length === 0) return
  await until(
    options.resourceMs ?? RESOURCE_MS,
    async () => {
      const { missing, progress } = await absent(target, config, after, options)
      return missing.length === 0
        ? {}
        : [`${kind} ${name} waits for ${missing.join(' and ')}.`, ...progress].join(' ')
    },
    options,
  )
  for (const id of after) stood.add(id)
}

/** Waits until everything is there, which lasts where making it does. */
async function standing<Config>(target: Target<Config>, config: Config, options: UpOptions): Promise<void> {
  const want = target.want(config)
  const ids = want.map(({ id }) => id)
  await until(
    options.readyMs ?? READY_MS,
    async () => {
      const { missing, progress } = await absent(target, config, ids, options)
      const first = want.find(({ id }) => id === missing[0])
      return first ? [`${first.kind} ${first.name} is being made.`, ...progress].join(' ') : {}
    },
    options,
  )
}

/** Which of these are not ready, and how far they are. @throws FacetError where one of them has failed */
async function absent<Config>(
  target: Target<Config>,
  config: Config,
  ids: readonly string[],
  options: UpOptions,
): Promise<{ readonly missing: readonly string[]; readonly progress: readonly string[] }> {
  const live = await readAll(target, config, options)
  const failed = live.find((one) => ids.includes(one.id) && one.failed)?.failed
  if (failed) throw unavailable(classify(failed))
  const missing = ids.filter((id) => !live.some((one) => one.id === id && one.ready !== false))
  const waiting = live.filter(({ id }) => missing.includes(id))
  if (target.advance && missing.length > 0) {
    const what = `go on with ${missing.join(' and ')}`
    await call(what, (signal) => target.advance!(config, missing, signal), options)
  }
  return { missing, progress: waiting.flatMap((one) => one.progress ?? []) }
}

async function answering<Config>(
  target: Target<Config>,
  config: Config,
  options: UpOptions,
): Promise<Finding> {
  const { clock = systemClock, patienceMs = PATIENCE_MS } = options
  let stuck: { readonly cause: CauseName; readonly sinceMs: number } | undefined
  return until(
    options.readyMs ?? READY_MS,
    async () => {
      const finding = await status(target, config, options)
      if (finding.cause === 'READY') return finding
      if (PASSING.includes(finding.cause)) stuck = undefined
      else if (stuck?.cause !== finding.cause) stuck = { cause: finding.cause, sinceMs: clock.now() }
      if (stuck && clock.now() - stuck.sinceMs >= patienceMs) throw unavailable(finding)
      return `${finding.cause}: ${finding.says}`
    },
    options,
  )
}

/** The one cause for which it does not answer now. */
export async function status<Config>(
  target: Target<Config>,
  config: Config,
  context: Context,
): Promise<Finding> {
  return classify(await call('look at it', (signal) => target.observe(config, signal), context))
}
