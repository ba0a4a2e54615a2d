/** The objects of one deployment in a namespace: found by their label, applied by server-side apply, never another's. */
import { FacetError } from '../../src/errors.ts'
import { type Action, type JsonObject, type LiveResource, OWNER_LABEL, type Resource } from '../target.ts'
import { type KubeClient, toRef } from './client.ts'
import type { KindRef } from './discovery.ts'
import { at } from './json.ts'
import { type PodSecurity, toNamespace } from './manifests.ts'
import { type KubeObject, toObjectId } from './object.ts'

export interface Ownership {
  /** What OWNER_LABEL carries. */
  readonly owner: string
  readonly namespace: string
  readonly level: PodSecurity
  /** Where objects may be that are no longer wanted. */
  readonly kinds: readonly KindRef[]
  /** Those of them that have no namespace. */
  readonly clusterWide: readonly string[]
  /** Kinds that cost money. */
  readonly billable: readonly string[]
}

export class OwnedObjects {
  readonly #client: KubeClient
  readonly #ownership: Ownership

  constructor(client: KubeClient, ownership: Ownership) {
    this.#client = client
    this.#ownership = ownership
  }

  /** Those that are wanted and there, whoever made them, and all others that carry the label. */
  async find(wanted: readonly Resource[], signal: AbortSignal): Promise<KubeObject[]> {
    const { owner, namespace, kinds, clusterWide } = this.#ownership
    const lists = await Promise.all(
      kinds.map((kind) =>
        this.#client.list(
          clusterWide.includes(kind.kind) ? kind : { ...kind, namespace },
          `${OWNER_LABEL}=${owner}`,
          signal,
        ),
      ),
    )
    const ours = lists.flatMap(({ items }) => items)
    const ids = new Set(ours.map(toObjectId))
    // Of the rest some may be there without the label.
    const others = await Promise.all(
      wanted
        .filter(({ id }) => !ids.has(id))
        .map(({ body }) => this.#client.get(toRef(body as KubeObject), signal)),
    )
    return [...ours, ...others.filter((one) => one !== undefined)]
  }

  toLive(object: KubeObject, wanted: readonly Resource[]): LiveResource {
    const id = toObjectId(object)
    const after = wanted.find((one) => one.id === id)?.after
    const { resourceVersion, deletionTimestamp } = object.metadata
    return {
      id,
      kind: object.kind,
      name: object.metadata.name,
      body: toBody(object),
      owner: ownerOf(object),
      ...(this.#ownership.billable.includes(object.kind) ? { billable: true as const } : {}),
      ...(after ? { after } : {}),
      ...(typeof resourceVersion === 'string' ? { version: resourceVersion } : {}),
      ...(deletionTimestamp === undefined ? {} : { ready: false, leaving: true as const }),
    }
  }

  /** @returns the object as it is now; undefined once its deletion is asked for */
  async apply(action: Action, signal: AbortSignal): Promise<KubeObject | undefined> {
    if (action.type === 'delete') {
      const { body } = action.live
      await this.#client.delete(toRef(body as KubeObject), String(at(body, 'metadata', 'uid')), signal)
      return undefined
    }
    const object = action.want.body as KubeObject
    if (action.type === 'create') await this.#prepare(object, signal)
    // What PodSecurity would not admit is only told by a warning: hear it before anything is made.
    await this.#client.apply(object, signal, { dryRun: true })
    return this.#client.apply(object, signal)
  }

  /** Made where there is none, and never taken away: it costs nothing, and others may use it. */
  async ensureNamespace(namespace: string, signal: AbortSignal): Promise<void> {
    const wanted = toNamespace(namespace, this.#ownership.level)
    if (!(await this.#client.get(toRef(wanted), signal))) await this.#client.apply(wanted, signal)
  }

  async #prepare(object: KubeObject, signal: AbortSignal): Promise<void> {
    const there = await this.#client.get(toRef(object), signal)
    // An apply would quietly merge into what somebody has made since we looked.
    if (there && ownerOf(there) !== this.#ownership.owner)
      throw new FacetError(
        'invalid_request',
        `${object.kind} ${object.metadata.name} was made by somebody else meanwhile, so it is left alone; choose another name for this deployment.`,
        { field: toObjectId(object) },
      )
    const { namespace } = object.metadata
    if (typeof namespace === 'string') await this.ensureNamespace(namespace, signal)
  }
}

/** The object without what changes by itself. */
export function toBody(object: KubeObject): JsonObject {
  const { status: _, metadata, ...rest } = object
  const { managedFields: __, resourceVersion: ___, generation: ____, ...own } = metadata
  return { ...rest, metadata: own }
}

export function ownerOf(object: KubeObject): string | undefined {
  const owner = at(object, 'metadata', 'labels', OWNER_LABEL)
  return typeof owner === 'string' ? owner : undefined
}
