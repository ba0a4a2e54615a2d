/** JSON that others wrote, and may have left unfinished. */

/** Undefined: it is none, which whoever looks at the value tells. */
export function toJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
