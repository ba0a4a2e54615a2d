/** What can be seen of the pods of a serving: their containers, their events, what they wrote, whether they answer. */
import type { Signal } from '../cause.ts'
import type { Json, JsonObject } from '../target.ts'
import type { KubeClient } from './client.ts'
import { at, isObject, listOf } from './json.ts'
import { type Identity, type KubeObject, selectorLabels } from './object.ts'
import { type Change, merged, watch } from './watch.ts'

const LOG_LINES = 200
const GATEWAY_API = 'gateway.networking.k8s.io/v1'

export interface Place extends Identity {
  readonly namespace: string
  /** Requests come in through a Gateway of the same name. */
  readonly gateway: boolean
}

export async function observe(client: KubeClient, identity: Place, signal: AbortSignal): Promise<Signal[]> {
  const { name, namespace } = identity
  const find = (apiVersion: string, kind: string): Promise<KubeObject | undefined> =>
    client.get({ apiVersion, kind, name, namespace }, signal)
  const none = Promise.resolve(undefined)
  const [deployment, gateway, route, pods, events] = await Promise.all([
    find('apps/v1', 'Deployment'),
    identity.gateway ? find(GATEWAY_API, 'Gateway') : none,
    identity.gateway ? find(GATEWAY_API, 'HTTPRoute') : none,
    podsOf(client, identity, signal),
    client.list({ apiVersion: 'v1', kind: 'Event', namespace }, '', signal),
  ])
  // Readiness asks for the model, so an available pod has it.
  const isAvailable = Number(at(deployment, 'status', 'availableReplicas') ?? 0) > 0
  const address = addressOf(gateway)
  const source =
    identity.gateway && address !== undefined ? `Gateway ${name} at ${address}` : `Deployment ${name}`
  return [
    ...(isAvailable && (!identity.gateway || (address !== undefined && isProgrammed(gateway)))
      ? [{ type: 'answers', source } as const]
      : []),
    ...(await podSignals(client, pods, signal)),
    ...conditionsOf(deployment),
    ...conditionsOf(gateway),
    ...listOf(at(route, 'status', 'parents')).flatMap((parent) => badConditions(`HTTPRoute ${name}`, parent)),
    ...events.items.flatMap((event) => eventOf(event, name)),
  ]
}

/** What pods, their containers and their logs tell; logs come first. */
export async function podSignals(
  client: KubeClient,
  pods: readonly KubeObject[],
  signal: AbortSignal,
): Promise<Signal[]> {
  const logs = await Promise.all(pods.map((pod) => logsOf(client, pod, signal)))
  return [...logs.flat(), ...pods.flatMap((pod) => [...containersOf(pod), ...conditionsOf(pod)])]
}

/** Pods that still hold a machine, by name; also those that are on their way out. */
export async function podNames(client: KubeClient, identity: Place, signal: AbortSignal): Promise<string[]> {
  return (await podsOf(client, identity, signal)).map(({ metadata }) => metadata.name)
}

/** The last lines of every pod, the newest last. */
export async function logLines(
  client: KubeClient,
  identity: Identity & { readonly namespace: string },
  signal: AbortSignal,
): Promise<string[]> {
  const pods = await podsOf(client, identity, signal)
  const logs = await Promise.all(pods.map((pod) => logsOf(client, pod, signal)))
  return logs.flat().flatMap((one) => (one.type === 'log' ? one.lines : []))
}

/** Everything of it that moves by itself while somebody waits. */
export async function* changes(
  client: KubeClient,
  identity: Place,
  signal: AbortSignal,
): AsyncGenerator<Change> {
  const { name, namespace, gateway } = identity
  const kinds = [
    { apiVersion: 'apps/v1', kind: 'Deployment' },
    { apiVersion: 'v1', kind: 'Pod' },
    ...(gateway ? [{ apiVersion: GATEWAY_API, kind: 'Gateway' }] : []),
  ]
  const labelSelector = `app.kubernetes.io/name=${name}`
  yield* merged(
    [
      ...kinds.map(
        (kind) => (over: AbortSignal) => watch(client, { ...kind, namespace }, over, { labelSelector }),
      ),
      (over) => watch(client, { apiVersion: 'v1', kind: 'Event', namespace }, over),
    ],
    signal,
  )
}

async function podsOf(
  client: KubeClient,
  identity: Identity & { readonly namespace: string },
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  const labels = Object.entries(selectorLabels(identity)).map(([label, value]) => `${label}=${value}`)
  const kind = { apiVersion: 'v1', kind: 'Pod', namespace: identity.namespace }
  return (await client.list(kind, labels.join(','), signal)).items
}

async function logsOf(client: KubeClient, pod: KubeObject, signal: AbortSignal): Promise<Signal[]> {
  const { name } = pod.metadata
  const namespace = String(pod.metadata.namespace)
  const statuses = listOf(at(pod, 'status', 'containerStatuses'))
  const read = statuses.map(async (status): Promise<Signal[]> => {
    // What made it end stands in the log of the container before this one.
    const before = Number(status.restartCount ?? 0) > 0 && status.ready !== true
    const lines = await client.logs({ name, namespace }, String(status.name), LOG_LINES, signal, before)
    return lines.length === 0 ? [] : [{ type: 'log', source: `Pod ${name}`, lines }]
  })
  return (await Promise.all(read)).flat()
}

function containersOf(pod: KubeObject): Signal[] {
  return listOf(at(pod, 'status', 'containerStatuses')).map((status): Signal => {
    const state = isObject(status.state) ? status.state : {}
    const of = state.terminated ? 'terminated' : state.running ? 'running' : 'waiting'
    const last = at(status, 'lastState', 'terminated')
    return {
      type: 'container',
      source: `Pod ${pod.metadata.name}`,
      container: String(status.name),
      state: of,
      ready: status.ready === true,
      restarts: Number(status.restartCount ?? 0),
      ...detailsOf(state[of], 'message'),
      ...(isObject(last) ? { last: detailsOf(last) } : {}),
    }
  })
}

function detailsOf(
  state: Json | undefined,
  ...more: readonly 'message'[]
): { readonly reason?: string; readonly message?: string; readonly exitCode?: number } {
  const { reason, exitCode, message } = isObject(state) ? state : ({} as JsonObject)
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(more.includes('message') && typeof message === 'string' ? { message } : {}),
    ...(typeof exitCode === 'number' ? { exitCode } : {}),
  }
}

/** Of a Gateway, once its load balancer has one. */
export function addressOf(gateway: KubeObject | undefined): string | undefined {
  const address = listOf(at(gateway, 'status', 'addresses'))[0]?.value
  return typeof address === 'string' ? address : undefined
}

function isProgrammed(gateway: KubeObject | undefined): boolean {
  const conditions = listOf(at(gateway, 'status', 'conditions'))
  return conditions.some(({ type, status }) => type === 'Programmed' && status === 'True')
}

export function conditionsOf(object: KubeObject | undefined): Signal[] {
  return object ? badConditions(`${object.kind} ${object.metadata.name}`, object.status) : []
}

/** Only those that are not as they should be. */
function badConditions(source: string, status: Json | undefined): Signal[] {
  return listOf(at(status, 'conditions'))
    .filter((one) => one.status === 'False' && typeof one.reason === 'string')
    .map(({ reason, message }) => ({
      type: 'condition',
      source,
      reason: String(reason),
      message: String(message ?? ''),
    }))
}

/** Warnings about objects whose name begins with ours: pods, replica sets, the autoscaler. */
export function eventOf(event: KubeObject, name: string): Signal[] {
  const { type, reason, message, involvedObject } = event
  const of = at(involvedObject, 'name')
  if (typeof of !== 'string' || !(of === name || of.startsWith(`${name}-`)) || type === 'Normal') return []
  const source = `${String(at(involvedObject, 'kind') ?? 'Object')} ${of}`
  return [{ type: 'event', source, reason: String(reason ?? ''), message: String(message ?? '') }]
}
