/** Calls of tools, read from an answer that a grammar holds to their form, as they are written. */
import { CALL_ARGUMENTS, CALL_NAME } from '../../gemma/tool-prompt.ts'
import type { ChatEvent } from '../../types.ts'

/** Text in, tool events out: first a call's id and name, then its arguments bit by bit. */
export interface CallReader {
  push(text: string): void
}

/** @param idOf makes the id of a call */
export function createCallReader(send: (event: ChatEvent) => void, idOf: () => string): CallReader {
  let index = -1
  /** Text before a call's arguments, or after them; undefined within. */
  let outside: string | undefined = ''
  let depth = 0
  let quoted = false
  let escaped = false

  /** How much of the text belongs to the arguments; they end with the bracket that closes the first. */
  const argumentsIn = (text: string): number => {
    for (let at = 0; at < text.length; at++) {
      const char = text[at]
      if (escaped) escaped = false
      else if (quoted) {
        escaped = char === '\\'
        quoted = char !== '"'
      } else if (char === '"') quoted = true
      else if (char === '{' || char === '[') depth++
      else if ((char === '}' || char === ']') && --depth === 0) return at + 1
    }
    return text.length
  }

  const push = (text: string): void => {
    if (text === '') return
    if (outside !== undefined) {
      outside += text
      const end = outside.indexOf(CALL_ARGUMENTS)
      if (end < 0) return
      const name = outside.slice(outside.indexOf(CALL_NAME) + CALL_NAME.length, end)
      const rest = outside.slice(end + CALL_ARGUMENTS.length)
      outside = undefined
      send({ type: 'tool', index: ++index, id: idOf(), name, arguments: '' })
      push(rest)
      return
    }
    const length = argumentsIn(text)
    send({ type: 'tool', index, arguments: text.slice(0, length) })
    if (depth > 0) return
    outside = ''
    push(text.slice(length))
  }
  return { push }
}

/** As OpenAI's look. */
export function toolCallId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return `call_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
