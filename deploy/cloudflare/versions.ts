/** The versions of a Worker, and how its deployment shares requests between them. */
import { isObject } from '../../src/check.ts'
import type { Cloudflare } from './api.ts'
import { fromMessage } from './canary-state.ts'
import { listOf } from './live.ts'

/** Percent of the requests, by the version that is given them. */
export type Shares = Readonly<Record<string, number>>

/** What serves now. */
export interface Deployed {
  readonly id: string
  readonly shares: Shares
  /** What whoever made it has said about it. */
  readonly message: string
}

/** Ids of versions. */
export interface Sharing {
  readonly stable: string
  /** Undefined where only one version serves. */
  readonly canary?: string
}

/** Who is who, by the state of a canary; where there is none, what has most of the requests is stable. */
export function sharingOf({ shares, message }: Deployed): Sharing {
  const ids = Object.keys(shares).sort((one, other) => shares[other]! - shares[one]!)
  const canaried = fromMessage(message)
  const known = typeof canaried === 'object' ? canaried.stable : undefined
  const stable = ids.find((id) => known !== undefined && id.startsWith(known)) ?? ids[0]!
  const canary = known === undefined ? undefined : ids.find((id) => id !== stable)
  return canary === undefined ? { stable } : { stable, canary }
}

export class WorkerVersions {
  readonly #cloudflare: Cloudflare
  readonly #path: string

  /** @param worker its name */
  constructor(cloudflare: Cloudflare, worker: string) {
    this.#cloudflare = cloudflare
    this.#path = `/workers/scripts/${worker}`
  }

  /** Undefined where there is no such Worker. */
  async deployed(signal: AbortSignal): Promise<Deployed | undefined> {
    const path = `${this.#path}/deployments`
    const found = await this.#cloudflare.call('read what is deployed', path, signal)
    // The newest comes first, and it alone serves.
    const [newest] = listOf(isObject(found) ? found.deployments : undefined)
    if (!newest) return undefined
    const { id: deployment, versions, annotations } = newest
    const message = isObject(annotations) ? annotations['workers/message'] : undefined
    return {
      id: String(deployment),
      shares: Object.fromEntries(
        listOf(versions).map(({ version_id: id, percentage }) => [String(id), Number(percentage)]),
      ),
      message: typeof message === 'string' ? message : '',
    }
  }

  /** What a version is made of: its bindings, compatibility date and limits. */
  async settings(version: string, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
    const path = `${this.#path}/versions/${version}`
    const found = await this.#cloudflare.call('read the version', path, signal)
    const resources = isObject(found) && isObject(found.resources) ? found.resources : {}
    const runtime = isObject(resources.script_runtime) ? resources.script_runtime : {}
    return { ...runtime, bindings: resources.bindings }
  }

  /** One write, after which these versions serve, and no other. */
  async share(shares: Shares, message: string, signal: AbortSignal): Promise<void> {
    const json = {
      strategy: 'percentage',
      versions: Object.entries(shares).map(([id, percentage]) => ({ version_id: id, percentage })),
      ...(message !== '' && { annotations: { 'workers/message': message } }),
    }
    // Forced, since one of them may be older than the Worker's secrets: each version has its own.
    const path = `${this.#path}/deployments?force=true`
    await this.#cloudflare.call('share out the requests', path, signal, { method: 'POST', json })
  }
}
