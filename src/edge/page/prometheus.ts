/** Reads Prometheus' text format 0.0.4, as far as figures need it: names, labels and values. */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$/s
const LABEL = /[ \t]*([A-Za-z_]\w*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|$)/sy
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', '\\': '\\', '"': '"' }

/** Lines that are no samples are passed over: comments, and what a newer server may write. */
export function samplesFrom(text: string): Sample[] {
  const samples: Sample[] = []
  for (const line of text.split(/\r?\n/)) {
    const [, name, inner, number] = LINE.exec(line) ?? []
    if (name === undefined || number === undefined) continue
    const labels = labelsFrom(inner ?? '')
    const value = valueFrom(number)
    if (labels && value !== undefined) samples.push({ name, labels, value })
  }
  return samples
}

/** Undefined where they are not what the format allows. */
function labelsFrom(text: string): Record<string, string> | undefined {
  const labels: [string, string][] = []
  for (LABEL.lastIndex = 0; LABEL.lastIndex < text.trimEnd().length; ) {
    const [, name, value] = LABEL.exec(text) ?? []
    if (name === undefined || value === undefined) return undefined
    labels.push([name, value.replaceAll(/\\(.)/gs, (whole, letter: string) => ESCAPES[letter] ?? whole)])
  }
  return Object.fromEntries(labels)
}

function valueFrom(text: string): number | undefined {
  const infinite = /^([+-]?)Inf$/i.exec(text)
  if (infinite) return infinite[1] === '-' ? -Infinity : Infinity
  if (/^NaN$/i.test(text)) return Number.NaN
  const value = Number(text)
  return Number.isNaN(value) ? undefined : value
}
