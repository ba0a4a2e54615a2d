/** What may stand in facet.config.ts, checked: the first problem, with its place and what to do. */
import { checkDeployments } from '../../deploy/spec-check.ts'
import {
  type Check,
  ConfigProblem,
  count,
  type Fields,
  flag,
  isObject,
  listOf,
  mapOf,
  must,
  notNegative,
  object,
  oneOf,
  type Path,
  positive,
  share,
  shown,
  text,
  url,
  variable,
} from '../check.ts'
import { nearest } from '../nearest.ts'
import { checkTunings } from '../tune/job/spec-check.ts'
import type { FacetConfig } from './config.ts'

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
      server: oneOf('openai', 'vllm', 'inference-gateway', 'jetstream', 'triton'),
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
      protocol: oneOf('chat', 'invoke', 'raw', 'generate', 'predict'),
      stream: flag,
      credentialsEnv: variable,
      quotaProject: text,
      baseURL: url,
    },
  ),
  gemini: object(
    { type, project: text, location: text, model: text },
    { ...declared, credentialsEnv: variable, apiEndpoint: text },
  ),
  local: object(
    { type, directory: text },
    {
      ...declared,
      engine: oneOf('wasm', 'webgpu', 'ort', 'reference'),
      threads: count,
      slots: count,
      adapters: mapOf(text),
    },
  ),
  deployed: object({ type }, { ...declared, apiKeyEnv: variable, credentialsEnv: variable }),
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

const whole = object(
  {},
  { endpoints: mapOf(endpoint), router, deployments: checkDeployments, tunings: checkTunings },
)

/**
 * @param deployed names of endpoints that deployments have written down
 * @throws ConfigProblem
 */
export function checkConfig(value: unknown, deployed: readonly string[]): FacetConfig {
  whole(value, [])
  const config = value as FacetConfig
  // What is going to be deployed may be named before it is: the router says so when it is asked for.
  const coming = [...deployed, ...Object.keys(config.deployments ?? {})]
  const names = [...new Set([...Object.keys(config.endpoints ?? {}), ...coming])]
  if (names.length === 0 && !config.tunings)
    throw new ConfigProblem(['endpoints'], 'names no endpoint; add one')
  for (const [name, { type }] of Object.entries(config.endpoints ?? {})) {
    if (type !== 'deployed' || coming.includes(name)) continue
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
