/** Data as text that people read: as JavaScript is written by hand, and as JSON, with what is short on one line. */

interface Style {
  readonly name: (name: string) => string
  readonly text: (text: string) => string
  /** After the last of several lines. */
  readonly tail: string
}

/** Longer lists and objects get a line for each entry. */
const LINE = 80

const JSON_STYLE: Style = {
  name: (name) => JSON.stringify(name),
  text: (text) => JSON.stringify(text),
  tail: '',
}
const SCRIPT_STYLE: Style = { name: toName, text: toQuoted, tail: ',' }

/** A JavaScript expression. */
export function toLiteral(value: unknown): string {
  return write(value, SCRIPT_STYLE, '')
}

/** JSON of what is data already: no functions, no cycles. */
export function toJsonText(value: unknown): string {
  return write(value, JSON_STYLE, '')
}

/** A string of JavaScript, in single quotes. */
export function toQuoted(text: string): string {
  const inner = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")
  return `'${inner}'`
}

function write(value: unknown, style: Style, indent: string): string {
  if (typeof value === 'string') return style.text(value)
  if (typeof value !== 'object' || value === null) return String(value)
  const deeper = `${indent}  `
  const entries = Array.isArray(value)
    ? value.map((item) => write(item, style, deeper))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([name, item]) => `${style.name(name)}: ${write(item, style, deeper)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  if (entries.length === 0) return `${open}${close}`
  const pad = Array.isArray(value) ? '' : ' '
  const line = `${open}${pad}${entries.join(', ')}${pad}${close}`
  if (line.length + indent.length <= LINE && !line.includes('\n')) return line
  return `${open}\n${deeper}${entries.join(`,\n${deeper}`)}${style.tail}\n${indent}${close}`
}

function toName(name: string): string {
  if (name === '__proto__') return "['__proto__']" // as a plain name it would set the prototype
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : toQuoted(name)
}
