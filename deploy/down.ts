/** Takes a deployment down, and proves that nothing of it that costs money is left. */
import { FacetError } from '../src/errors.ts'
import { type LiveResource, removalOrder, type Target } from './target.ts'
import { sayAction } from './up.ts'
import { type Context, call, until } from './waiting.ts'

export interface DownOptions extends Context {
  readonly owner: string
  /** Until a resource is gone. Default 30 minutes. */
  readonly goneMs?: number
}

export interface Down {
  readonly removed: readonly LiveResource[]
  /** Of the same names, but somebody else's: not touched. */
  readonly left: readonly LiveResource[]
}

const GONE_MS = 30 * 60_000

/**
 * A deletion is only believed once a read no longer shows it. May be broken off and run again.
 *
 * @throws FacetError timeout, or unavailable where something billable is still there
 */
export async function down<Config>(
  target: Target<Config>,
  config: Config,
  options: DownOptions,
): Promise<Down> {
  const { owner, onStep } = options
  const read = (): Promise<LiveResource[]> =>
    call(`read ${owner}`, (signal) => target.read(config, signal), options)
  const live = await read()
  const ours = removalOrder(live.filter((one) => one.owner === owner))
  for (const one of ours) {
    const action = { type: 'delete', live: one } as const
    const what = sayAction(action)
    onStep?.({ type: 'doing', what })
    await call(what, (signal) => target.apply(action, signal), options)
    await until(
      options.goneMs ?? GONE_MS,
      async () => {
        const still = (await read()).some(({ id }) => id === one.id)
        return still ? `${one.kind} ${one.name} is being deleted.` : {}
      },
      options,
    )
    onStep?.({ type: 'done', what })
  }
  const after = await read()
  const billed = after.filter((one) => one.owner === owner && one.billable)
  if (billed.length > 0) {
    const names = billed.map(({ kind, name }) => `${kind} ${name}`).join(', ')
    throw new FacetError('unavailable', `${names} came back and still costs money; run facet down again.`)
  }
  return { removed: ours, left: after.filter((one) => one.owner !== owner) }
}
