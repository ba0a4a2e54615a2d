/** The subresource scale. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import type { Call, Place, Reply } from './call.ts'
import { notFound } from './status.ts'
import type { Store, Stored } from './store.ts'
import { withSystemFields } from './system-fields.ts'
import { updated } from './write.ts'

export function required(store: Store, { type, namespace, name }: Place): Stored {
  const stored = store.get(type, namespace, name!)
  if (!stored) throw notFound(type, name!)
  return stored
}

export function scale(store: Store, place: Place, { query, agent }: Call, body: Json): Reply {
  const live = required(store, place)
  const { replicas } = ((body as JsonObject).spec ?? {}) as JsonObject
  const spec = { ...(live.object.spec as JsonObject), replicas: replicas! }
  const writer = {
    manager: query.get('fieldManager') ?? agent,
    subresource: 'scale',
  }
  const written = updated(place.type, live, { ...live.object, spec }, writer)
  const complete = withSystemFields(store, place, live, written, place.name!)
  return { status: 200, body: toScale(store.put(place.type, complete)) }
}

export function toScale({ object }: Stored): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata as JsonObject
  const { replicas, selector } = object.spec as JsonObject
  const labels = Object.entries(((selector as JsonObject).matchLabels ?? {}) as JsonObject)
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name: name!,
      namespace: namespace!,
      uid: uid!,
      resourceVersion: resourceVersion!,
      creationTimestamp: creationTimestamp!,
    },
    spec: { replicas: replicas! },
    status: { replicas: 0, selector: labels.map(([label, value]) => `${label}=${String(value)}`).join(',') },
  }
}
