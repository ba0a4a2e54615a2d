/** Deletion: at once, or with a finalizer that somebody must take away first. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { isObject } from '../schema.ts'
import type { Reply } from './call.ts'
import type { ResourceType } from './resources.ts'
import { conflict, invalidOption, notFound, Refusal } from './status.ts'
import { type Store, type Stored, toAnswer } from './store.ts'

const POLICIES = ['Foreground', 'Background', 'Orphan']
const FINALIZERS: Readonly<Record<string, string>> = { Foreground: 'foregroundDeletion', Orphan: 'orphan' }

export function deleted(
  store: Store,
  place: {
    readonly type: ResourceType
    readonly namespace: string | undefined
    readonly name: string | undefined
  },
  query: URLSearchParams,
  body: Json,
): Reply {
  const { type, namespace, name } = place
  if (name === undefined) throw new Refusal(405, 'MethodNotAllowed', 'the tests delete one by one')
  const options = isObject(body) ? body : {}
  const policy = query.get('propagationPolicy') ?? String(options.propagationPolicy ?? 'Background')
  if (!POLICIES.includes(policy))
    throw invalidOption(
      'DeleteOptions',
      'propagationPolicy',
      'FieldValueNotSupported',
      `Unsupported value: "${policy}": supported values: "Foreground", "Background", "Orphan", "nil"`,
    )
  const stored = store.get(type, namespace, name)
  if (!stored) throw notFound(type, name)
  checkPreconditions(stored, options.preconditions)
  const metadata = stored.object.metadata as JsonObject
  const added = FINALIZERS[policy]
  const held = [...(Array.isArray(metadata.finalizers) ? metadata.finalizers : []), ...(added ? [added] : [])]
  const isNamespace = type.kind === 'Namespace'
  if (query.get('dryRun') === 'All') return { status: 200, body: success(type, stored) }
  if (held.length === 0 && !isNamespace) {
    store.remove(stored)
    return { status: 200, body: success(type, stored) }
  }
  const marked = store.put(type, {
    ...stored,
    object: {
      ...stored.object,
      metadata: {
        ...metadata,
        deletionTimestamp: store.now(),
        ...(isNamespace ? {} : { deletionGracePeriodSeconds: 0, finalizers: held }),
      },
      ...(isNamespace ? { status: { phase: 'Terminating' } } : {}),
    },
  })
  return { status: 200, body: toAnswer(marked, type) }
}

function success({ plural, group }: ResourceType, { object }: Stored): JsonObject {
  const { name, uid } = object.metadata as JsonObject
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: name!,
      ...(group === '' ? {} : { group }),
      kind: plural,
      uid: uid!,
    },
  }
}

function checkPreconditions(stored: Stored, preconditions: Json | undefined): void {
  if (!isObject(preconditions)) return
  const metadata = stored.object.metadata as JsonObject
  const name = String(metadata.name)
  const named = { group: '', plural: stored.type.kind }
  for (const [field, title] of [
    ['uid', 'UID'],
    ['resourceVersion', 'ResourceVersion'],
  ] as const) {
    const asked = preconditions[field]
    if (asked === undefined || asked === metadata[field]) continue
    const moved = field === 'uid' ? 'deleted and then recreated' : 'modified'
    throw conflict(
      named,
      name,
      `the ${title} in the precondition (${String(asked)}) does not match the ${title} in record (${String(metadata[field])}). The object might have been ${moved}`,
    )
  }
}
