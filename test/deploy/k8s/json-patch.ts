/** Applies the operations of a JSON Patch (RFC 6902) that overlays use: add, remove, replace. */
import type { Json, JsonObject } from '../../../deploy/target.ts'

type Mutable = Json[] | Record<string, Json>

export function applyJsonPatch(value: Json, operations: readonly JsonObject[]): Json {
  // A document of its own, so that the root can be replaced as well.
  const document: Record<string, Json> = { root: structuredClone(value) as Json }
  for (const { op, path, value: next } of operations) {
    const steps = `root${String(path)}`
      .split('/')
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = steps.pop()!
    const parent = steps.reduce<Json>(
      (at, step) => (at as Readonly<Record<string, Json>>)[step]!,
      document,
    ) as Mutable
    if (!Array.isArray(parent)) {
      if (op !== 'add' && !Object.hasOwn(parent, last)) throw new Error(`${String(path)} is not there`)
      if (op === 'remove') delete parent[last]
      // Not by assignment, which gives __proto__ another meaning.
      else
        Object.defineProperty(parent, last, {
          value: next!,
          enumerable: true,
          configurable: true,
          writable: true,
        })
    } else if (op === 'remove') parent.splice(Number(last), 1)
    else if (op === 'replace') parent[Number(last)] = next!
    else parent.splice(last === '-' ? parent.length : Number(last), 0, next!)
  }
  return document.root!
}
