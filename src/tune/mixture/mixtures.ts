/** Mixtures of tuning data as a file names them: which files, in which proportions. */
import { dirname, resolve } from 'node:path'
import { ConfigProblem, mapOf, must } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import { readText } from '../../text-file.ts'

export interface Mixture {
  readonly name: string
  readonly parts: readonly MixturePart[]
}

export interface MixturePart {
  /** As the mixture names it. */
  readonly file: string
  readonly path: string
  /** Above 0; of all weights of the mixture, the share of its rows. */
  readonly weight: number
}

/**
 * A JSON object: by the name of each mixture, its files with their weights. Paths are from the file's own folder.
 *
 * @throws FacetError invalid_request, naming what is wrong; io_failed
 */
export async function readMixtures(path: string): Promise<Mixture[]> {
  const text = await readText(path, { field: 'mixtures', advice: 'check the name' })
  return mixturesFrom(text, path)
}

/** @throws FacetError invalid_request */
export function mixturesFrom(text: string, path: string): Mixture[] {
  const mixtures = parsed(text, path)
  const folder = dirname(path)
  const found = Object.entries(mixtures).map(([name, files]) => ({
    name,
    parts: Object.entries(files).map(([file, weight]) => ({ file, path: resolve(folder, file), weight })),
  }))
  if (found.length === 0) throw wrong(path, 'names no mixture', EXAMPLE)
  for (const { name, parts } of found) {
    // Each becomes a file.
    if (!/^\w[\w.-]*$/.test(name)) {
      throw wrong(path, `names a mixture ${JSON.stringify(name)}`, 'use letters, digits, dots and dashes')
    }
    if (parts.length === 0) throw wrong(path, `has no files in ${name}`, EXAMPLE)
  }
  return found
}

const EXAMPLE = 'write {"balanced": {"chat.jsonl": 2, "code.jsonl": 1}}'
const WEIGHT = must(
  (value) => typeof value === 'number' && value > 0 && value <= 1e9,
  'a weight above 0, at most a billion',
)
const CHECK = mapOf(mapOf(WEIGHT))

function parsed(text: string, path: string): Readonly<Record<string, Readonly<Record<string, number>>>> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw wrong(path, 'is not JSON', EXAMPLE, cause)
  }
  const twice = repeatedKey(text)
  if (twice !== undefined)
    throw wrong(
      path,
      `names ${JSON.stringify(twice)} twice`,
      'give each mixture, and each of its files, once',
    )
  try {
    CHECK(json, [])
    return json as Readonly<Record<string, Readonly<Record<string, number>>>>
  } catch (error) {
    if (!(error instanceof ConfigProblem)) throw error
    throw wrong(path, `is no list of mixtures: ${error.message.replace(/\.$/, '')}`, EXAMPLE, error)
  }
}

/** Of JSON that parses, the first key that its object has already; JSON.parse keeps the last one without a word. */
function repeatedKey(json: string): string | undefined {
  const open: Set<string>[] = []
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (token.endsWith(':')) {
      const key: string = JSON.parse(token.slice(0, -1))
      if (open.at(-1)!.has(key)) return key
      open.at(-1)!.add(key)
    }
  }
  return undefined
}

function wrong(path: string, problem: string, advice: string, cause?: unknown): FacetError {
  return new FacetError('invalid_request', `${path} ${problem}; ${advice}.`, { field: 'mixtures', cause })
}
