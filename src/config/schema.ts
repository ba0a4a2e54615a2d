/** What may stand in facet.config.ts, checked: the first problem, with its place and what to do. */
import type { FacetConfig } from './config.ts'
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
type Check = (value: unknown, path: Path) => void

interface Fields {
  readonly [name: string]: Check
}

const must =
  (test: (value: unknown) => boolean, what: string): Check =>
  (value, path) => {
    if (!test(value)) throw new ConfigProblem(path, `must be ${what}, but is ${shown(value)}`)
  }

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const text: Check = must(
  (value) => typeof value === 'string' && value.trim() !== '',
  'a text that is not empty',
)
const flag: Check = must((value) => typeof value === 'boolean', 'true or false')
const above = (least: number, what: string): Check =>
  must((value) => typeof value === 'number' && value >= least, what)
const positive: Check = must((value) => typeof value === 'number' && value > 0, 'a number above 0')
const notNegative: Check = above(0, 'a number of at least 0')
const count: Check = must(
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  'a whole number of at least 1',
)
const share: Check = must(
  (value) => typeof value === 'number' && value >= 0 && value <= 1,
  'a number from 0 to 1',
)
const url: Check = must(
  (value) => typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
  'an http(s) address',
)
const variable: Check = (value, path) => {
  if (typeof value === 'string' && /^[A-Za-z_]\w*$/.test(value)) return
  // Somebody may have put the key itself here: it is not shown.
  throw new ConfigProblem(path, 'must be the name of an environment variable, such as GEMMA_KEY')
}

const oneOf =
  (...values: readonly string[]): Check =>
  (value, path) => {
    if (typeof value === 'string' && values.includes(value)) return
    const near = typeof value === 'string' ? nearest(value, values) : undefined
    const hint = near ? `; did you mean ${near}?` : ''
    throw new ConfigProblem(path, `must be one of ${values.join(', ')}, but is ${shown(value)}${hint}`)
  }

const listOf =
  (item: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) throw new ConfigProblem(path, `must be a list, but is ${shown(value)}`)
    for (const [index, one] of value.entries()) item(one, [...path, index])
  }

const mapOf =
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

const object =
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

const timeouts = object({}, { firstTokenMs: positive, idleMs: positive, totalMs: positive })

const declared: Fields = {
  model: text,
  tier: must(Number.isFinite, 'a number'),
  price: object({ prompt: notNegative, completion: notNegative }, {}),
  features: listOf(oneOf('tools', 'json_schema', 'logprobs')),
  contextTokens: count,
  timeouts,
}

const type: Check = () => {}

const KINDS: Readonly<Record<string, Check>> = {
  http: object(
    { type, baseURL: url },
    {
      ...declared,
      apiKeyEnv: variable,
      server: oneOf('openai', 'vllm', 'inference-gateway'),
      objective: text,
    },
  ),
  vertex: object(
    {
      type,
      endpoint: object({ name: text }, { dedicatedEndpointEnabled: flag, dedicatedEndpointDns: text }),
    },
    {
      ...declared,
      protocol: oneOf('chat', 'invoke', 'raw', 'generate'),
      stream: flag,
      credentialsEnv: variable,
      quotaProject: text,
      baseURL: url,
    },
  ),
  local: object(
    { type, directory: text },
    { ...declared, engine: oneOf('wasm', 'webgpu', 'ort', 'reference'), threads: count, slots: count },
  ),
  deployed: object({ type }, { ...declared, apiKeyEnv: variable }),
}

const endpoint: Check = (value, path) => {
  if (!isObject(value)) throw new ConfigProblem(path, `must be an object, but is ${shown(value)}`)
  if (value.type === undefined) {
    throw new ConfigProblem(path, `lacks type, which is one of ${Object.keys(KINDS).join(', ')}`)
  }
  oneOf(...Object.keys(KINDS))(value.type, [...path, 'type'])
  KINDS[String(value.type)]!(value, path)
}

const policy: Check = (value, path) => {
  if (typeof value === 'function') return
  oneOf('ordered', 'weighted', 'tier', 'price', 'latency', 'sticky')(value, path)
}

const hedge: Check = (value, path) => {
  if (typeof value === 'boolean') return
  object({}, { quantile: share, minSamples: count, maxShare: share })(value, path)
}

const router = object(
  {},
  {
    order: listOf(text),
    policy,
    weights: mapOf(notNegative),
    escalation: object(
      {},
      { maxPromptTokens: count, maxAnswerTokens: count, minConfidence: share, holdTokens: count },
    ),
    timeouts,
    maxAttempts: count,
    attemptsPerBackend: count,
    patienceMs: notNegative,
    hedge,
    breaker: object({}, { failureRate: share, minFailures: count, openMs: positive, maxOpenMs: positive }),
    budget: object({ windowMs: positive }, { tokens: positive, money: positive }),
  },
)

const whole = object({}, { endpoints: mapOf(endpoint), router })

/**
 * @param deployed names of endpoints that deployments have written down
 * @throws ConfigProblem
 */
export function checkConfig(value: unknown, deployed: readonly string[]): FacetConfig {
  whole(value, [])
  const config = value as FacetConfig
  const names = [...new Set([...Object.keys(config.endpoints ?? {}), ...deployed])]
  if (names.length === 0) throw new ConfigProblem(['endpoints'], 'names no endpoint; add one')
  for (const [name, { type }] of Object.entries(config.endpoints ?? {})) {
    if (type !== 'deployed' || deployed.includes(name)) continue
    throw new ConfigProblem(
      ['endpoints', name],
      'is not deployed yet; deploy it, or give its address as type http',
    )
  }
  const { order = [], weights = {}, policy, escalation } = config.router ?? {}
  for (const [index, name] of order.entries()) known(name, ['router', 'order', index], names)
  for (const name of Object.keys(weights)) known(name, ['router', 'weights', name], names)
  if (policy !== undefined && escalation !== undefined) {
    throw new ConfigProblem(['router', 'policy'], 'and escalation exclude each other; keep one')
  }
  return config
}

function known(name: string, path: Path, names: readonly string[]): void {
  if (names.includes(name)) return
  const near = nearest(name, names)
  const hint = near ? `did you mean ${near}?` : `there are ${names.join(', ')}`
  throw new ConfigProblem(path, `names ${JSON.stringify(name)}, which is no endpoint; ${hint}`)
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

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
