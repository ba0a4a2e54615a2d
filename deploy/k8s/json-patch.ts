/** The difference of two objects as a JSON Patch (RFC 6902), for overlays. */
import type { Json, JsonObject } from '../target.ts'

export type JsonPatch = readonly JsonObject[]

/** Operations that turn `from` into `to`. Lists of objects are compared one by one, other lists as a whole. */
export function jsonPatch(from: Json, to: Json, path = ''): JsonPatch {
  if (isObject(from) && isObject(to)) {
    const gone = Object.keys(from).filter((name) => !Object.hasOwn(to, name))
    return [
      ...gone.map((name) => ({ op: 'remove', path: `${path}/${escaped(name)}` })),
      ...Object.entries(to).flatMap(([name, value]) => {
        const at = `${path}/${escaped(name)}`
        return Object.hasOwn(from, name)
          ? jsonPatch(from[name]!, value, at)
          : [{ op: 'add', path: at, value }]
      }),
    ]
  }
  if (Array.isArray(from) && Array.isArray(to) && from.length === to.length && from.every(isObject))
    return from.flatMap((one, index) => jsonPatch(one, to[index]!, `${path}/${index}`))
  return JSON.stringify(from) === JSON.stringify(to) ? [] : [{ op: 'replace', path, value: to }]
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
