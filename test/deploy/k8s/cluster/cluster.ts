/** A small cluster: the API server, and the controllers that make what is written there happen, step by step. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { at } from '../../../../deploy/k8s/json.ts'
import type { JsonObject } from '../../../../deploy/target.ts'
import { ADMIN_TOKEN, CERTIFICATE, type FakeApi, startApi } from '../api/server.ts'
import { type Stored, toAnswer, typeOf } from '../api/store.ts'
import { Gateways } from './gateways.ts'
import { isReady, matches, Pods, type Trouble } from './pods.ts'
import { scaleStep } from './scaling.ts'
import { type ServerOptions, serverFor } from './servers.ts'
import { deploymentStep, jobStep } from './workloads.ts'

export interface Behaviour {
  /** Of requests that are answered 500, 0 to 1. */
  errorRate: number
  /** What its histogram says that a first token takes. */
  firstTokenMs: number
}

/** What runs in a pod. */
export interface PodServer {
  readonly url: string
  readonly phase: 'refused' | 'loading' | 'ready' | 'exited'
  readonly log: readonly string[]
  /** Where containers beside the server write a log of their own. */
  logOf?(container: string): readonly string[]
  /** How it answers, for a test to change. */
  readonly behaviour?: Behaviour
  advance(): Promise<void>
  close(): Promise<void>
}

/** Controllers of a test's own. */
export interface Controllers {
  /** Objects that they look after alone: Jobs and pods of theirs. */
  owns(object: JsonObject): boolean
  /** @returns whether anything has happened */
  step(cluster: Cluster): boolean | Promise<boolean>
}

export interface ClusterOptions {
  /** Goes on by itself, as fast as it can; else only `step` and `settle` make something happen. */
  readonly alone?: boolean
  /** What pods and servers run into. */
  readonly trouble?: Trouble
  readonly servers?: ServerOptions
  readonly controllers?: Controllers
}

export interface Identified {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly deleting: boolean
}

export class Cluster {
  readonly api: FakeApi
  /** May be changed while it runs, as somebody mends a quota. */
  trouble: Trouble
  readonly #servers: ServerOptions
  readonly #pods: Pods = new Pods(this)
  readonly #gateways: Gateways = new Gateways(this)
  readonly #alone: boolean
  readonly #controllers: Controllers | undefined
  readonly #folders: string[] = []
  #events = 0
  #turn = 0
  #busy: Promise<void> | undefined

  constructor(api: FakeApi, { alone = false, trouble = {}, servers = {}, controllers }: ClusterOptions) {
    this.api = api
    this.trouble = trouble
    this.#servers = servers
    this.#alone = alone
    this.#controllers = controllers
    api.route = ({ plural, name, namespace }) => {
      if (plural === 'pods') return this.serversOf(name)[0]?.url
      const service = this.find('v1', 'Service', namespace, name)
      return this.pick(namespace, at(service, 'spec', 'selector'))?.url
    }
    api.store.watch(api.store.version, () => {
      if (this.#alone) this.#go()
    })
  }

  /** Each controller once. @returns whether anything has happened */
  async step(): Promise<boolean> {
    const moved = [
      deploymentStep(this),
      jobStep(this),
      await this.#pods.step(),
      await scaleStep(this),
      await this.#gateways.step(),
      (await this.#controllers?.step(this)) ?? false,
    ]
    return moved.includes(true)
  }

  /** Whether others look after it. */
  isForeign(object: JsonObject): boolean {
    return this.#controllers?.owns(object) ?? false
  }

  /** Until nothing happens any more. */
  async settle(): Promise<void> {
    while (await this.step());
  }

  /** One of the pods that fit and are ready, in turns. */
  pick(namespace: string, selector: unknown): PodServer | undefined {
    const ready = this.podsOf(namespace, selector).filter(isReady)
    const pod = ready[this.#turn++ % ready.length]
    return pod && this.#pods.serverOf(pod)
  }

  podsOf(namespace: string, selector: unknown): JsonObject[] {
    return this.list('v1', 'Pod').filter(
      (pod) => identityOf(pod).namespace === namespace && matches(selector, pod),
    )
  }

  /** The servers of the pods whose name begins so, for a test to look into and to trouble. */
  serversOf(prefix: string): PodServer[] {
    const pods = this.list('v1', 'Pod').filter((pod) => identityOf(pod).name.startsWith(prefix))
    return pods.flatMap((pod) => this.#pods.serverOf(pod) ?? [])
  }

  /** Address of a Gateway's load balancer, undefined until it has one. */
  gateway(namespace: string, name: string): string | undefined {
    return this.#gateways.urlOf(namespace, name)
  }

  startServer(pod: JsonObject): Promise<PodServer> {
    return serverFor(this, pod, this.#servers)
  }

  list(apiVersion: string, kind: string): JsonObject[] {
    const type = typeOf(apiVersion, kind)!
    return this.api.store.list(type, undefined).map((stored) => toAnswer(stored, type))
  }

  find(apiVersion: string, kind: string, namespace: string, name: string): JsonObject | undefined {
    return this.#stored(apiVersion, kind, namespace, name)?.object
  }

  /** @returns whether it differs from what was there */
  setStatus(object: JsonObject, status: JsonObject, manager = 'kube-controller-manager'): boolean {
    const { name, namespace } = identityOf(object)
    const { apiVersion, kind } = object
    const live = this.find(String(apiVersion), String(kind), namespace, name)
    if (!live || JSON.stringify(live.status) === JSON.stringify(status)) return false
    this.api.put({ apiVersion: apiVersion!, kind: kind!, metadata: { name, namespace }, status }, manager)
    return true
  }

  remove(object: JsonObject): void {
    const { name, namespace } = identityOf(object)
    const stored = this.#stored(String(object.apiVersion), String(object.kind), namespace, name)
    if (stored) this.api.store.remove(stored)
  }

  event(object: JsonObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { name, namespace, uid } = identityOf(object)
    this.#events++
    this.api.put({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name}.${this.#events}`, namespace },
      involvedObject: { apiVersion: object.apiVersion!, kind: object.kind!, name, namespace, uid },
      type,
      reason,
      message,
    })
  }

  /** Name of a file with the kubeconfig that reaches it under this context. */
  async kubeconfig(context: string, token: string = ADMIN_TOKEN): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'facet-cluster-'))
    this.#folders.push(folder)
    const ca = Buffer.from(CERTIFICATE).toString('base64')
    const file = join(folder, 'kubeconfig.json')
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'it', cluster: { server: this.api.url, 'certificate-authority-data': ca } }],
      users: [{ name: 'me', user: { token } }],
      contexts: [{ name: context, context: { cluster: 'it', user: 'me' } }],
      // Somebody's own context, which must not be taken.
      'current-context': 'another',
    }
    await writeFile(file, JSON.stringify(config))
    return file
  }

  async close(): Promise<void> {
    await this.#busy
    await this.#pods.close()
    await this.#gateways.close()
    await this.api.close()
    await Promise.all(this.#folders.map((folder) => rm(folder, { recursive: true })))
  }

  #stored(apiVersion: string, kind: string, namespace: string, name: string): Stored | undefined {
    return this.api.store.get(typeOf(apiVersion, kind)!, namespace, name)
  }

  /** Whoever looks sees what is between two steps. */
  #go(): void {
    this.#busy ??= turn()
      .then(async () => {
        while (await this.step()) await turn()
      })
      .finally(() => {
        this.#busy = undefined
      })
  }
}

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  return new Cluster(await startApi(), options)
}

export function identityOf(object: JsonObject): Identified {
  const { name, namespace = '', uid = '', deletionTimestamp } = object.metadata as JsonObject
  return {
    name: String(name),
    namespace: String(namespace),
    uid: String(uid),
    deleting: deletionTimestamp !== undefined,
  }
}
