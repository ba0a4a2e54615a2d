/** What only the server sets, and whether a write has changed anything. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { isObject } from '../schema.ts'
import type { Place } from './call.ts'
import type { ResourceType } from './resources.ts'
import type { Store, Stored } from './store.ts'
import type { Written } from './write.ts'

export function withSystemFields(
  store: Store,
  { type, namespace }: Place,
  live: Stored | undefined,
  written: Written,
  name: string,
): Written {
  const old = (live?.object.metadata ?? {}) as JsonObject
  const metadata = written.object.metadata as JsonObject
  const counts =
    type.custom || ['Deployment', 'Job', 'NetworkPolicy', 'PodDisruptionBudget'].includes(type.kind)
  const generation = !live ? 1 : Number(old.generation ?? 1) + (isNewGeneration(type, live, written) ? 1 : 0)
  const { finalizers, ...rest } = metadata
  const kept =
    !live && type.kind === 'PersistentVolumeClaim'
      ? ['kubernetes.io/pvc-protection']
      : Array.isArray(finalizers) && finalizers.length > 0
        ? finalizers
        : undefined
  return {
    ...written,
    object: {
      ...written.object,
      metadata: {
        ...rest,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        uid: old.uid ?? store.uid(),
        creationTimestamp: old.creationTimestamp ?? store.now(),
        ...(old.resourceVersion === undefined ? {} : { resourceVersion: old.resourceVersion }),
        ...(counts ? { generation } : {}),
        ...(kept === undefined ? {} : { finalizers: kept }),
      },
    },
  }
}

/** Deployments count annotations, other kinds only what is asked for. */
export function isNewGeneration({ kind }: ResourceType, live: Stored, next: Written): boolean {
  const of = ({ object }: Written): string => {
    const { metadata, status: _, ...rest } = object
    const { annotations } = metadata as JsonObject
    return JSON.stringify(sorted(kind === 'Deployment' ? { ...rest, annotations: annotations ?? {} } : rest))
  }
  return of(live) !== of(next)
}

export const isSpecWrite = (live: Stored | undefined, next: Written): boolean =>
  !live ||
  JSON.stringify(sorted(live.object.spec ?? null)) !== JSON.stringify(sorted(next.object.spec ?? null))

export function sameWritten(a: Written, b: Written): boolean {
  const form = ({ object, owners }: Written): string =>
    JSON.stringify([
      sorted(object),
      owners
        .map(({ fields, ...rest }) => [sorted({ ...rest }), [...fields].sort()])
        .map((one) => JSON.stringify(one))
        .sort(),
    ])
  return form(a) === form(b)
}

export function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const names = Object.keys(value).sort()
  return Object.fromEntries(names.map((name) => [name, sorted(value[name]!)]))
}
