/** What the controller of Gateways does: a load balancer that goes by the HTTPRoutes, weights included. */
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { at, listOf } from '../../../../deploy/k8s/json.ts'
import type { JsonObject } from '../../../../deploy/target.ts'
import { isObject } from '../../../../src/check.ts'
import { Loopback, textOf } from '../../loopback.ts'
import { type Cluster, identityOf } from './cluster.ts'

const GROUP = 'gateway.networking.k8s.io/v1'

export class Gateways {
  readonly #cluster: Cluster
  /** By uid of the Gateway. */
  readonly #balancers = new Map<string, Loopback>()
  /** Requests so far, by backend and weight: each gets its share exactly, not by chance. */
  readonly #sent = new Map<string, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  urlOf(namespace: string, name: string): string | undefined {
    const gateway = this.#cluster.find(GROUP, 'Gateway', namespace, name)
    return gateway && this.#balancers.get(identityOf(gateway).uid)?.url
  }

  async step(): Promise<boolean> {
    const gateways = this.#cluster.list(GROUP, 'Gateway')
    const there = new Set(gateways.map((one) => identityOf(one).uid))
    for (const [uid, balancer] of this.#balancers) {
      if (there.has(uid)) continue
      this.#balancers.delete(uid)
      await balancer.close()
    }
    const moved = []
    for (const gateway of gateways) moved.push(await this.#program(gateway))
    return moved.includes(true)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#balancers.values()].map((balancer) => balancer.close()))
  }

  /** First it is accepted, then it gets its address. */
  async #program(gateway: JsonObject): Promise<boolean> {
    const { uid, namespace, name } = identityOf(gateway)
    const condition = (type: string, yes: boolean, reason: string): JsonObject => ({
      type,
      status: yes ? 'True' : 'False',
      reason,
      message: yes ? '' : 'The load balancer is being made.',
      lastTransitionTime: at(gateway, 'metadata', 'creationTimestamp')!,
      observedGeneration: at(gateway, 'metadata', 'generation')!,
    })
    const accepted = condition('Accepted', true, 'Accepted')
    const pending = { conditions: [accepted, condition('Programmed', false, 'Pending')] }
    let balancer = this.#balancers.get(uid)
    if (!balancer) {
      if (this.#cluster.setStatus(gateway, pending)) return true
      balancer = new Loopback((asked, response) => this.#route(namespace, name, asked, response))
      this.#balancers.set(uid, balancer)
      await balancer.open()
    }
    return this.#cluster.setStatus(gateway, {
      // With its port, since no test may listen at 80.
      addresses: [{ type: 'IPAddress', value: new URL(balancer.url).host }],
      conditions: [accepted, condition('Programmed', true, 'Programmed')],
    })
  }

  async #route(
    namespace: string,
    name: string,
    asked: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const text = await textOf(asked)
    const backend = this.#backend(namespace, name, String(asked.headers.host))
    // As the endpoint picker answers, which has to find the model in the body.
    if (backend?.kind === 'InferencePool' && asked.method === 'POST' && !namesModel(text))
      return void response.writeHead(400).end('inference error: BadRequest - model not found in request body')
    const to = backend && this.#cluster.pick(namespace, this.#selectorOf(namespace, backend))
    if (!to) return void response.writeHead(backend ? 503 : 404).end('no healthy upstream')
    const { host: _, ...headers } = asked.headers
    const sent = request(to.url + asked.url, { method: asked.method ?? 'GET', headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 502, answered.headers)
      answered.pipe(response)
    })
    sent.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
    response.on('close', () => sent.destroy())
    sent.end(text)
  }

  /** The backend that is furthest below its share. */
  #backend(namespace: string, gateway: string, host: string): JsonObject | undefined {
    const routes = this.#cluster
      .list(GROUP, 'HTTPRoute')
      .filter(
        (route) =>
          identityOf(route).namespace === namespace &&
          listOf(at(route, 'spec', 'parentRefs')).some(({ name }) => name === gateway),
      )
    const fits = (route: JsonObject): boolean => {
      const hostnames = at(route, 'spec', 'hostnames')
      return !Array.isArray(hostnames) || hostnames.includes(host.split(':')[0]!)
    }
    const backends = listOf(listOf(at(routes.find(fits), 'spec', 'rules'))[0]?.backendRefs ?? null)
    const load = (backend: JsonObject): number => {
      const weight = Number(backend.weight ?? 1)
      return weight === 0 ? Number.POSITIVE_INFINITY : ((this.#sent.get(keyOf(backend)) ?? 0) + 1) / weight
    }
    const chosen = backends
      .filter((one) => load(one) < Number.POSITIVE_INFINITY)
      .sort((a, b) => load(a) - load(b))[0]
    if (chosen) this.#sent.set(keyOf(chosen), (this.#sent.get(keyOf(chosen)) ?? 0) + 1)
    return chosen
  }

  #selectorOf(namespace: string, backend: JsonObject): unknown {
    const name = String(backend.name)
    return backend.kind === 'InferencePool'
      ? at(
          this.#cluster.find('inference.networking.k8s.io/v1', 'InferencePool', namespace, name),
          'spec',
          'selector',
          'matchLabels',
        )
      : at(this.#cluster.find('v1', 'Service', namespace, name), 'spec', 'selector')
  }
}

function namesModel(body: string): boolean {
  const json: unknown = JSON.parse(body)
  return isObject(json) && typeof json.model === 'string'
}

const keyOf = ({ kind, name, weight = 1 }: JsonObject): string =>
  `${String(kind)}/${String(name)}/${String(weight)}`
