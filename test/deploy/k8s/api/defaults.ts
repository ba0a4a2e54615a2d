/** What a real server fills in when an object is written, for the kinds that the tests use. */
import type { Json, JsonObject } from '../../../../deploy/target.ts'
import { isObject, resolved, type Schema } from '../schema.ts'
import type { ResourceType } from './resources.ts'

const SUFFIX_BYTES: Readonly<Record<string, number>> = { Ki: 1, Mi: 2, Gi: 3, Ti: 4 }

/** The object with everything filled in and every quantity in the server's own form. */
export function withDefaults(type: ResourceType, object: JsonObject): JsonObject {
  if (type.custom) return fromSchema(type.schema, object) as JsonObject
  const spec = isObject(object.spec) ? object.spec : {}
  switch (type.kind) {
    case 'Deployment':
      return { ...object, spec: deploymentSpec(spec), status: object.status ?? {} }
    case 'Job':
      return { ...object, spec: withTemplate({ backoffLimit: 6, completions: 1, parallelism: 1, ...spec }) }
    case 'Service':
      return { ...object, spec: serviceSpec(spec), status: object.status ?? { loadBalancer: {} } }
    case 'PersistentVolumeClaim':
      return {
        ...object,
        spec: { ...(quantities(spec) as JsonObject), volumeMode: spec.volumeMode ?? 'Filesystem' },
        status: object.status ?? { phase: 'Pending' },
      }
    case 'Secret':
      return secret(object)
    case 'Namespace':
      return {
        ...object,
        spec: { finalizers: ['kubernetes'], ...spec },
        status: object.status ?? { phase: 'Active' },
      }
    default:
      return object
  }
}

/** Defaults of a custom resource stand in its schema. */
function fromSchema(given: Schema, value: Json): Json {
  const schema = resolved(given)
  if (Array.isArray(value)) return schema.items ? value.map((item) => fromSchema(schema.items!, item)) : value
  if (!isObject(value)) return value
  const filled: Record<string, Json> = { ...value }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const start = filled[name] ?? inner.default
    if (start !== undefined) filled[name] = fromSchema(inner, start)
  }
  return filled
}

function deploymentSpec(spec: JsonObject): JsonObject {
  const strategy = isObject(spec.strategy) ? spec.strategy : {}
  const rolling = strategy.type === undefined || strategy.type === 'RollingUpdate'
  const update = isObject(strategy.rollingUpdate) ? strategy.rollingUpdate : {}
  return withTemplate({
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    ...spec,
    strategy: rolling
      ? {
          type: 'RollingUpdate',
          ...strategy,
          rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%', ...update },
        }
      : strategy,
  })
}

function withTemplate(spec: JsonObject): JsonObject {
  const template = isObject(spec.template) ? spec.template : {}
  const pod = isObject(template.spec) ? template.spec : {}
  return { ...spec, template: { ...template, spec: podSpec(pod) } }
}

function podSpec(spec: JsonObject): JsonObject {
  const containers = Array.isArray(spec.containers) ? (spec.containers as readonly JsonObject[]) : []
  return {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
    ...spec,
    containers: containers.map(container),
  }
}

function container(one: JsonObject): JsonObject {
  const { ports } = one
  const always = typeof one.image === 'string' && !/:(?!latest$)[\w][\w.-]*$/.test(one.image)
  const probe = (name: string): JsonObject => {
    const value = one[name]
    return isObject(value)
      ? {
          [name]: {
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
            ...(isObject(value.httpGet)
              ? { ...value, httpGet: { scheme: 'HTTP', ...value.httpGet } }
              : value),
          },
        }
      : {}
  }
  return {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: always ? 'Always' : 'IfNotPresent',
    ...(quantities(one) as JsonObject),
    ...probe('startupProbe'),
    ...probe('readinessProbe'),
    ...probe('livenessProbe'),
    ...(Array.isArray(ports)
      ? { ports: (ports as readonly JsonObject[]).map((port) => ({ protocol: 'TCP', ...port })) }
      : {}),
  }
}

function serviceSpec(spec: JsonObject): JsonObject {
  const ports = Array.isArray(spec.ports) ? (spec.ports as readonly JsonObject[]) : []
  return {
    clusterIP: '10.0.0.100',
    clusterIPs: ['10.0.0.100'],
    type: 'ClusterIP',
    sessionAffinity: 'None',
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    internalTrafficPolicy: 'Cluster',
    ...spec,
    ports: ports.map((port) => ({ protocol: 'TCP', targetPort: port.port!, ...port })),
  }
}

function secret(object: JsonObject): JsonObject {
  const { stringData, ...rest } = object
  const encoded = Object.entries(isObject(stringData) ? stringData : {}).map(([name, value]) => [
    name,
    Buffer.from(String(value)).toString('base64'),
  ])
  const data = { ...(isObject(rest.data) ? rest.data : {}), ...Object.fromEntries(encoded) }
  return { type: 'Opaque', ...rest, ...(Object.keys(data).length > 0 ? { data } : {}) }
}

/** Amounts under requests and limits: 102400Mi is 100Gi, 1000m is 1, and a number becomes a text. */
function quantities(value: Json): Json {
  if (Array.isArray(value)) return value.map(quantities)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      ['requests', 'limits'].includes(name) && isObject(inner)
        ? Object.fromEntries(Object.entries(inner).map(([of, amount]) => [of, quantity(amount)]))
        : quantities(inner),
    ]),
  )
}

function quantity(amount: Json): Json {
  const text = String(amount)
  const [, digits, suffix = ''] = /^(\d+)(m|[KMGT]i)?$/.exec(text) ?? []
  if (digits === undefined) return text
  if (suffix === 'm') return Number(digits) % 1000 === 0 ? String(Number(digits) / 1000) : text
  let power = SUFFIX_BYTES[suffix] ?? 0
  let count = Number(digits)
  while (power > 0 && power < 4 && count % 1024 === 0 && count > 0) {
    count /= 1024
    power++
  }
  return power === 0 ? text : `${count}${Object.keys(SUFFIX_BYTES)[power - 1]}`
}
