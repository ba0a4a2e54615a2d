/** What the server keeps: objects with their versions, and everything that has happened to them. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { apiVersionOf, RESOURCE_TYPES, type ResourceType } from './resources.ts'
import { toManagedFields, type Written } from './write.ts'

export interface Stored extends Written {
  readonly type: ResourceType
}

export interface Change {
  readonly event: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly version: number
  readonly stored: Stored
}

export type Listener = (change: Change) => void

/** Times move on by a second with every write. */
const START_MS = Date.UTC(2026, 0, 1)

export class Store {
  readonly #objects = new Map<string, Stored>()
  readonly #listeners = new Set<Listener>()
  #history: Change[] = []
  #version = 1000
  #uids = 0

  get version(): number {
    return this.#version
  }

  /** The oldest version a watch may begin at. */
  oldest = 0

  now(): string {
    return new Date(START_MS + this.#version * 1000).toISOString().replace('.000', '')
  }

  uid(): string {
    this.#uids++
    return `f0000000-0000-4000-8000-${String(this.#uids).padStart(12, '0')}`
  }

  get(type: ResourceType, namespace: string | undefined, name: string): Stored | undefined {
    return this.#objects.get(keyOf(type, namespace, name))
  }

  list(type: ResourceType, namespace: string | undefined): Stored[] {
    const prefix = keyOf(type, namespace, '')
    return [...this.#objects]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, stored]) => stored)
  }

  /** Writes under the next version and tells who watches. */
  put(type: ResourceType, written: Written): Stored {
    this.#version++
    const metadata = written.object.metadata as JsonObject
    const object = { ...written.object, metadata: { ...metadata, resourceVersion: String(this.#version) } }
    const stored = { ...written, type, object }
    const key = keyOfObject(type, object)
    const event = this.#objects.has(key) ? 'MODIFIED' : 'ADDED'
    this.#objects.set(key, stored)
    this.#tell({ event, version: this.#version, stored })
    return stored
  }

  remove(stored: Stored): void {
    this.#version++
    this.#objects.delete(keyOfObject(stored.type, stored.object))
    const metadata = { ...(stored.object.metadata as JsonObject), resourceVersion: String(this.#version) }
    const gone = { ...stored, object: { ...stored.object, metadata } }
    this.#tell({ event: 'DELETED', version: this.#version, stored: gone })
  }

  /** What has happened since, then what happens; call the result to stop. */
  watch(sinceVersion: number, listener: Listener): () => void {
    for (const change of this.#history) if (change.version > sinceVersion) listener(change)
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Forgets what has happened: a watch from before must list again. */
  compact(): void {
    this.oldest = this.#version
    this.#history = [...this.#objects.values()].map((stored) => ({
      event: 'ADDED',
      version: Number((stored.object.metadata as JsonObject).resourceVersion),
      stored,
    }))
  }

  /** What was there at a version. */
  at(version: number): Stored[] {
    const there = new Map<string, Stored>()
    for (const { event, stored, version: of } of this.#history) {
      const key = keyOfObject(stored.type, stored.object)
      if (of > version) continue
      if (event === 'DELETED') there.delete(key)
      else there.set(key, stored)
    }
    return [...there.values()]
  }

  #tell(change: Change): void {
    this.#history.push(change)
    for (const listener of this.#listeners) listener(change)
  }
}

/** Served versions of one kind share what is stored. */
function keyOf({ group, plural }: ResourceType, namespace: string | undefined, name: string): string {
  const inside = namespace === undefined ? '' : `${namespace}/`
  return `${group}/${plural}/${inside}${name}`
}

function keyOfObject(type: ResourceType, object: JsonObject): string {
  const { namespace, name } = object.metadata as JsonObject
  return keyOf(type, typeof namespace === 'string' ? namespace : undefined, String(name))
}

/** The object as it is answered: kind first, with its managed fields. */
export function toAnswer({ object, owners }: Written, type: ResourceType): JsonObject {
  const { metadata, apiVersion: _, kind: __, ...rest } = object
  const managedFields = toManagedFields(owners)
  return {
    kind: type.kind,
    apiVersion: apiVersionOf(type),
    metadata: { ...(metadata as JsonObject), ...(managedFields.length > 0 ? { managedFields } : {}) },
    ...rest,
  }
}

export function typeOf(apiVersion: string, kind: string): ResourceType | undefined {
  return RESOURCE_TYPES.find((type) => apiVersionOf(type) === apiVersion && type.kind === kind)
}

export type Selector = (object: JsonObject) => boolean

/** `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`, joined by commas. */
export function labelSelector(text: string): Selector {
  const tests = text
    .split(/,(?![^(]*\))/)
    .filter((part) => part !== '')
    .map((part): Selector => {
      const [, name = '', operator, value = ''] =
        /^(!?[^=!\s]+)\s*(==?|!=|in)?\s*(.*)$/.exec(part.trim()) ?? []
      const labelOf = (object: JsonObject): Json | undefined =>
        ((object.metadata as JsonObject).labels as JsonObject | undefined)?.[name.replace('!', '')]
      if (operator === undefined) return (object) => (labelOf(object) === undefined) === name.startsWith('!')
      if (operator === 'in')
        return (object) =>
          value
            .slice(1, -1)
            .split(',')
            .map((one) => one.trim())
            .includes(String(labelOf(object)))
      return (object) => (labelOf(object) === value) === (operator !== '!=')
    })
  return (object) => tests.every((test) => test(object))
}
