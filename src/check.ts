/** Checks of what people write into configuration: the first problem, with its place and what to do. */
import { nearest } from './nearest.ts'

export type Path = readonly (string | number)[]

/** Thrown by the checks; whoever loaded the file adds its name and line. */
export class ConfigProblem extends Error {
  readonly path: Path

  constructor(path: Path, message: string) {
    super(`${toField(path) || 'The configuration'} ${message}${message.endsWith('?') ? '' : '.'}`)
    this.path = path
  }
}

/** Throws a ConfigProblem unless the value is right. */
export type Check = (value: unknown, path: Path) => void

export interface Fields {
  readonly [name: string]: Check
}

export const must =
  (test: (value: unknown) => boolean, what: string): Check =>
  (value, path) => {
    if (!test(value)) throw new ConfigProblem(path, `must be ${what}, but is ${shown(value)}`)
  }

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const text: Check = must(
  (value) => typeof value === 'string' && value.trim() !== '',
  'a text that is not empty',
)
export const flag: Check = must((value) => typeof value === 'boolean', 'true or false')
const above = (least: number, what: string): Check =>
  must((value) => typeof value === 'number' && value >= least, what)
export const positive: Check = must((value) => typeof value === 'number' && value > 0, 'a number above 0')
export const notNegative: Check = above(0, 'a number of at least 0')
export const count: Check = must(
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  'a whole number of at least 1',
)
export const share: Check = must(
  (value) => typeof value === 'number' && value >= 0 && value <= 1,
  'a number from 0 to 1',
)
export const url: Check = must(
  (value) => typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
  'an http(s) address',
)
export const variable: Check = (value, path) => {
  if (typeof value === 'string' && /^[A-Za-z_]\w*$/.test(value)) return
  // Somebody may have put the key itself here: it is not shown.
  throw new ConfigProblem(path, 'must be the name of an environment variable, such as GEMMA_KEY')
}

export const oneOf =
  (...values: readonly string[]): Check =>
  (value, path) => {
    if (typeof value === 'string' && values.includes(value)) return
    const near = typeof value === 'string' ? nearest(value, values) : undefined
    const hint = near ? `; did you mean ${near}?` : ''
    throw new ConfigProblem(path, `must be one of ${values.join(', ')}, but is ${shown(value)}${hint}`)
  }

export const listOf =
  (item: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) throw new ConfigProblem(path, `must be a list, but is ${shown(value)}`)
    for (const [index, one] of value.entries()) item(one, [...path, index])
  }

export const mapOf =
  (item: Check): Check =>
  (value, path) => {
    if (!isObject(value)) throw new ConfigProblem(path, `must be an object, but is ${shown(value)}`)
    for (const [name, one] of Object.entries(value)) item(one, [...path, name])
  }

/** Words that people look for under another name. */
const ADVICE: Readonly<Record<string, string>> = {
  apiKey: 'must not stand in a file; put the key into an environment variable and name that in apiKeyEnv',
  credentials:
    'must not stand in a file; put them into an environment variable and name that in credentialsEnv',
}

export const object =
  (required: Fields, optional: Fields): Check =>
  (value, path) => {
    if (!isObject(value)) throw new ConfigProblem(path, `must be an object, but is ${shown(value)}`)
    const known = { ...required, ...optional }
    for (const name of Object.keys(value)) {
      if (Object.hasOwn(known, name)) continue
      const near = nearest(name, Object.keys(known))
      const hint = near ? `did you mean ${near}?` : `there are ${Object.keys(known).join(', ')}`
      throw new ConfigProblem(
        [...path, name],
        Object.hasOwn(ADVICE, name) ? ADVICE[name]! : `is not known; ${hint}`,
      )
    }
    for (const [name, check] of Object.entries(known)) {
      const given = value[name]
      if (given !== undefined) check(given, [...path, name])
      else if (Object.hasOwn(required, name))
        throw new ConfigProblem(path, `lacks ${name}, which is required`)
    }
  }

/** `endpoints.gke.price`, `router.order[1]`. */
export function toField(path: Path): string {
  return path.reduce<string>((field, step) => {
    if (typeof step === 'number') return `${field}[${step}]`
    const plain = /^[A-Za-z_$][\w$]*$/.test(step)
    if (!plain) return `${field}[${JSON.stringify(step)}]`
    return field === '' ? step : `${field}.${step}`
  }, '')
}

export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
