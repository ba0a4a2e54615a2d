/** What scheduler and kubelet do with a pod, a step at a time: a node, the image, the server, its probes. */
import { at, isObject, listOf } from '../../../../deploy/k8s/json.ts'
import type { JsonObject } from '../../../../deploy/target.ts'
import { type Cluster, identityOf, type PodServer } from './cluster.ts'

/** What a pod runs into, if anything. */
export interface Trouble {
  /** Why there is no machine for it. */
  readonly machine?: 'stockout' | 'quota'
  readonly image?: 'missing'
}

const BACK_OFF = 'back-off 5m0s restarting failed container'

export class Pods {
  readonly #cluster: Cluster
  /** By uid: steps taken, and the server inside once it runs. */
  readonly #lives = new Map<string, { step: number; server?: PodServer }>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Of pods that are ready, by the pod. */
  serverOf(pod: JsonObject): PodServer | undefined {
    return this.#lives.get(identityOf(pod).uid)?.server
  }

  /** @returns whether anything has happened */
  async step(): Promise<boolean> {
    let moved = false
    const pods = this.#cluster.list('v1', 'Pod').filter((pod) => !this.#cluster.isForeign(pod))
    for (const pod of pods) moved = (await this.#live(pod)) || moved
    return moved
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lives.values()].map(({ server }) => server?.close()))
  }

  async #live(pod: JsonObject): Promise<boolean> {
    const { uid, deleting } = identityOf(pod)
    const life = this.#lives.get(uid) ?? { step: 0 }
    this.#lives.set(uid, life)
    if (deleting) {
      await life.server?.close()
      this.#lives.delete(uid)
      this.#cluster.remove(pod)
      return true
    }
    if (life.server) return this.#run(pod, life.server)
    const { trouble } = this.#cluster
    const stuck = life.step > 0 && (trouble.machine !== undefined || this.#isStuck(pod))
    if (stuck) return false
    life.step++
    if (life.step === 1) return this.#wait(pod)
    if (life.step === 2) return this.#pull(pod)
    life.server = await this.#cluster.startServer(pod)
    return this.#run(pod, life.server)
  }

  /** No node has room, so the autoscaler looks for one. */
  #wait(pod: JsonObject): boolean {
    const message = '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.'
    const { machine } = this.#cluster.trouble
    this.#cluster.event(pod, 'Warning', 'FailedScheduling', message)
    if (machine === 'stockout')
      this.#cluster.event(
        pod,
        'Warning',
        'FailedScaleUp',
        'Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources. Pod is at risk of not being scheduled.',
      )
    else if (machine === 'quota')
      this.#cluster.event(
        pod,
        'Warning',
        'FailedScaleUp',
        'Node scale up in zones us-central1-a associated with this pod failed: GCE quota exceeded. Pod is at risk of not being scheduled.',
      )
    else
      this.#cluster.event(
        pod,
        'Normal',
        'TriggeredScaleUp',
        'pod triggered scale-up: gke-facet-l4 0->1 (max: 2)',
      )
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }
    return this.#cluster.setStatus(pod, { phase: 'Pending', conditions: [condition] })
  }

  /** A node, and the image on its way; or what keeps a container from being made. */
  #pull(pod: JsonObject): boolean {
    const missing = this.#missingSecret(pod)
    const image = String(at(containersOf(pod)[0], 'image'))
    if (this.#cluster.trouble.image === 'missing') {
      const message = `Back-off pulling image "${image}": ErrImagePull: rpc error: code = NotFound desc = ${image}: not found`
      this.#cluster.event(pod, 'Warning', 'Failed', `Failed to pull image "${image}": not found`)
      return this.#containers(pod, { waiting: { reason: 'ImagePullBackOff', message } })
    }
    if (missing !== undefined)
      return this.#containers(pod, {
        waiting: { reason: 'CreateContainerConfigError', message: `secret "${missing}" not found` },
      })
    const { name, namespace } = identityOf(pod)
    const spec = { ...(pod.spec as JsonObject), nodeName: 'gke-facet-l4-1' }
    this.#cluster.api.put({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec }, 'scheduler')
    this.#cluster.event(pod, 'Normal', 'Pulling', `Pulling image "${image}"`)
    return this.#containers(pod, { waiting: { reason: 'ContainerCreating' } })
  }

  /** The server goes on by itself; the kubelet sees whether it is ready, or has ended. */
  async #run(pod: JsonObject, server: PodServer): Promise<boolean> {
    const { phase, log } = server
    const lines = log.length
    if (phase !== 'ready' && phase !== 'exited') await server.advance()
    const name = identityOf(pod).name
    for (const container of containersOf(pod))
      this.#cluster.api.logs.set(`${name}/${String(container.name)}`, () => {
        const lines = server.logOf?.(String(container.name)) ?? server.log
        return `${lines.join('\n')}\n`
      })
    const moved = server.log.length > lines || server.phase !== phase
    if (server.phase !== 'exited')
      return (
        this.#containers(
          pod,
          { running: { startedAt: at(pod, 'metadata', 'creationTimestamp')! } },
          server.phase === 'ready',
        ) || moved
      )
    const ended = { exitCode: 1, reason: 'Error', startedAt: null, finishedAt: null }
    // The back-off grows to five minutes: what comes after the first start is not seen here.
    if (phase !== 'exited')
      this.#cluster.event(pod, 'Warning', 'BackOff', `${BACK_OFF} server in pod ${name}`)
    return this.#containers(pod, { waiting: { reason: 'CrashLoopBackOff', message: BACK_OFF } }, false, {
      restartCount: 1,
      lastState: { terminated: ended },
    })
  }

  #containers(pod: JsonObject, state: JsonObject, ready = false, more: JsonObject = {}): boolean {
    const status = (type: string): JsonObject => ({ type, status: ready ? 'True' : 'False' })
    return this.#cluster.setStatus(pod, {
      phase: 'running' in state ? 'Running' : 'Pending',
      podIP: '10.8.0.7',
      conditions: [{ type: 'PodScheduled', status: 'True' }, status('ContainersReady'), status('Ready')],
      containerStatuses: containersOf(pod).map((container) => ({
        name: container.name!,
        image: container.image!,
        imageID: '',
        ready,
        started: 'running' in state,
        restartCount: 0,
        state,
        lastState: {},
        ...more,
      })),
    })
  }

  #isStuck(pod: JsonObject): boolean {
    const reason = at(listOf(at(pod, 'status', 'containerStatuses'))[0], 'state', 'waiting', 'reason')
    return reason === 'ImagePullBackOff' || reason === 'CreateContainerConfigError'
  }

  #missingSecret(pod: JsonObject): string | undefined {
    const { namespace } = identityOf(pod)
    const names = containersOf(pod).flatMap(({ env }) =>
      listOf(env ?? null).map((one) => at(one, 'valueFrom', 'secretKeyRef', 'name')),
    )
    return names.find(
      (name): name is string =>
        typeof name === 'string' && !this.#cluster.find('v1', 'Secret', namespace, name),
    )
  }
}

export function containersOf(pod: JsonObject): JsonObject[] {
  return listOf(at(pod, 'spec', 'containers'))
}

export function isReady(pod: JsonObject): boolean {
  return listOf(at(pod, 'status', 'conditions')).some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  )
}

export function matches(selector: unknown, object: JsonObject): boolean {
  const labels = at(object, 'metadata', 'labels')
  return (
    isObject(selector as JsonObject) &&
    Object.entries(selector as JsonObject).every(([name, value]) => at(labels, name) === value)
  )
}
