/** What can be seen of the pods of a serving: their containers, their events, what they wrote, whether they answer. */
import type { Signal } from '../cause.ts'
import type { Json, JsonObject } from '../target.ts'
import type { KubeClient } from './client.ts'
import { at, isObject, listOf } from './json.ts'
import { type Identity, type KubeObject, selectorLabels } from './object.ts'

const LOG_LINES = 200

export async function observe(
  client: KubeClient,
  identity: Identity & { readonly namespace: string },
  signal: AbortSignal,
): Promise<Signal[]> {
  const { name, namespace } = identity
  const ref = { apiVersion: 'apps/v1', kind: 'Deployment', name, namespace }
  const [deployment, pods, events] = await Promise.all([
    client.get(ref, signal),
    podsOf(client, identity, signal),
    client.list({ apiVersion: 'v1', kind: 'Event', namespace }, '', signal),
  ])
  const logs = await Promise.all(pods.map((pod) => logsOf(client, pod, namespace, signal)))
  return [
    // Readiness asks for the model, so an available pod has it.
    ...(Number(at(deployment, 'status', 'availableReplicas') ?? 0) > 0
      ? [{ type: 'answers', source: `Deployment ${name}` } as const]
      : []),
    ...logs.flat(),
    ...pods.flatMap((pod) => [...containersOf(pod), ...conditionsOf(pod)]),
    ...conditionsOf(deployment),
    ...events.items.flatMap((event) => eventOf(event, name)),
  ]
}

/** The last lines of every pod, the newest last. */
export async function logLines(
  client: KubeClient,
  identity: Identity & { readonly namespace: string },
  signal: AbortSignal,
): Promise<string[]> {
  const pods = await podsOf(client, identity, signal)
  const logs = await Promise.all(pods.map((pod) => logsOf(client, pod, identity.namespace, signal)))
  return logs.flat().flatMap((one) => (one.type === 'log' ? one.lines : []))
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

async function logsOf(
  client: KubeClient,
  pod: KubeObject,
  namespace: string,
  signal: AbortSignal,
): Promise<Signal[]> {
  const { name } = pod.metadata
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

/** Only those that are not as they should be. */
function conditionsOf(object: KubeObject | undefined): Signal[] {
  if (!object) return []
  return listOf(at(object, 'status', 'conditions'))
    .filter(({ status, reason }) => status === 'False' && typeof reason === 'string')
    .map(({ reason, message }) => ({
      type: 'condition',
      source: `${object.kind} ${object.metadata.name}`,
      reason: String(reason),
      message: String(message ?? ''),
    }))
}

/** Warnings about objects whose name begins with ours: pods, replica sets, the autoscaler. */
function eventOf(event: KubeObject, name: string): Signal[] {
  const { type, reason, message, involvedObject } = event
  const of = at(involvedObject, 'name')
  if (typeof of !== 'string' || !(of === name || of.startsWith(`${name}-`)) || type === 'Normal') return []
  const source = `${String(at(involvedObject, 'kind') ?? 'Object')} ${of}`
  return [{ type: 'event', source, reason: String(reason ?? ''), message: String(message ?? '') }]
}
