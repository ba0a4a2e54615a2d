/** The claim of whoever is at work on a deployment, as a Lease beside it. */
import { CLAIM_MS, type Claim, isInTheWay } from '../claim.ts'
import type { KubeClient } from './client.ts'
import type { ObjectRef } from './discovery.ts'
import { at } from './json.ts'
import { type Identity, type KubeObject, toObject } from './object.ts'

const PLAN_ANNOTATION = 'gemfacet-plan'
/** A claim is written again when it is so old. */
const RENEW_MS = 60_000

export class Lease {
  readonly #client: KubeClient
  readonly #identity: Identity & { readonly namespace: string }

  constructor(client: KubeClient, identity: Identity & { readonly namespace: string }) {
    this.#client = client
    this.#identity = identity
  }

  /**
   * Takes it, or renews it; leaves it to somebody else who wants the same.
   *
   * @returns who stands in the way
   */
  async claim(own: Claim, signal: AbortSignal): Promise<Claim | undefined> {
    const lease = await this.#client.get(this.#ref, signal)
    const other = lease && toClaim(lease)
    if (other && isInTheWay(other, own)) return other
    const alive = other !== undefined && own.seenMs - other.seenMs < CLAIM_MS
    const fresh = other !== undefined && own.seenMs - other.seenMs < RENEW_MS
    if (alive && (other.by !== own.by || (fresh && other.plan === own.plan))) return undefined
    await this.#client.apply(this.#toObject(own, lease?.metadata.resourceVersion), signal)
    return undefined
  }

  /** Gives it up, where it is this one's. */
  async release(by: string, signal: AbortSignal): Promise<void> {
    const lease = await this.#client.get(this.#ref, signal)
    if (lease && toClaim(lease).by === by)
      await this.#client.delete(this.#ref, String(lease.metadata.uid), signal)
  }

  get #ref(): ObjectRef {
    const { name, namespace } = this.#identity
    return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: `${name}-up`, namespace }
  }

  /** @param version of the one that is replaced: another's write between is refused */
  #toObject({ plan, by, sinceMs, seenMs }: Claim, version: unknown): KubeObject {
    const spec = {
      holderIdentity: by,
      acquireTime: toMicroTime(sinceMs),
      renewTime: toMicroTime(seenMs),
      leaseDurationSeconds: CLAIM_MS / 1000,
    }
    const { apiVersion, kind, name } = this.#ref
    const annotations = { [PLAN_ANNOTATION]: plan }
    const lease = toObject(apiVersion, kind, this.#identity, { spec }, { name, annotations })
    const metadata = typeof version === 'string' ? { resourceVersion: version } : {}
    return { ...lease, metadata: { ...lease.metadata, ...metadata } }
  }
}

function toClaim(lease: KubeObject): Claim {
  const time = (name: string): number => Date.parse(String(at(lease, 'spec', name))) || 0
  return {
    plan: String(at(lease, 'metadata', 'annotations', PLAN_ANNOTATION)),
    by: String(at(lease, 'spec', 'holderIdentity')),
    sinceMs: time('acquireTime'),
    seenMs: time('renewTime'),
  }
}

/** Kubernetes wants microseconds. */
const toMicroTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z')
