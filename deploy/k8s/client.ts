/** Reads, applies, deletes and watches objects of any kind on a Kubernetes API server. */
import type { KubeConfig } from '@kubernetes/client-node'
import { FacetError } from '../../src/errors.ts'
import type { Json } from '../target.ts'
import { toApiError } from './api-error.ts'
import { Discovery, type KindRef, type ObjectRef, unknownKind } from './discovery.ts'
import { type ApiAnswer, type ApiCall, send, serverOf, toText } from './http.ts'
import { at, listOf } from './json.ts'
import type { KubeObject } from './object.ts'

export interface ClientOptions {
  readonly config: KubeConfig
  /** Shown to people: what the server accepts and warns of. */
  readonly onWarning?: (warning: string) => void
  /** Of one call. Default 30,000. */
  readonly callMs?: number
  /** The server did not take the token: the next request is to have another. Left out: there is no other. */
  readonly renew?: () => void
}

export interface ApplyOptions {
  /** Answers what it would be, and writes nothing. */
  readonly dryRun?: boolean
}

export interface List {
  readonly items: readonly KubeObject[]
  /** From where a watch goes on. */
  readonly version: string
}

export interface ServiceProxy {
  /** Ends before the Service's own path. */
  readonly url: string
  /** Of the kubeconfig that signs in. */
  readonly context: string
}

/** Who owns the fields that Facet applies. */
const FIELD_MANAGER = 'gemfacet'
const CALL_MS = 30_000
const APPLY = 'application/apply-patch+yaml'

export class KubeClient {
  readonly #options: ClientOptions
  readonly #discovery: Discovery

  constructor(options: ClientOptions) {
    this.#options = options
    this.#discovery = new Discovery(async (root, signal) => {
      const answer = await this.#call({ method: 'GET', path: root }, signal)
      if (answer.status === 404) return undefined
      if (answer.status === 200) return answer.text
      throw toApiError({ title: `Discovery of ${root}` }, answer.status, answer.text, answer.retryAfterMs)
    })
  }

  /** Undefined where there is none. A kind that the cluster does not know has no objects either. */
  async get(ref: ObjectRef, signal: AbortSignal): Promise<KubeObject | undefined> {
    const path = await this.#discovery.pathOf(ref, signal)
    if (path === undefined) return undefined
    const { status, text, retryAfterMs } = await this.#call({ method: 'GET', path }, signal)
    if (status === 404) return undefined
    if (status !== 200) throw toApiError({ title: titleOf(ref) }, status, text, retryAfterMs)
    return JSON.parse(text) as KubeObject
  }

  /** All objects of a kind in a namespace, or in all of them; nothing of a kind that is not there. */
  async list(
    kind: KindRef & { readonly namespace?: string },
    labelSelector: string,
    signal: AbortSignal,
  ): Promise<List> {
    const path = await this.#discovery.pathOf({ ...kind, name: '' }, signal)
    if (path === undefined) return { items: [], version: '0' }
    const query = labelSelector === '' ? {} : { labelSelector }
    const { status, text, retryAfterMs } = await this.#call({ method: 'GET', path, query }, signal)
    if (status !== 200) throw toApiError({ title: `The list of ${kind.kind}s` }, status, text, retryAfterMs)
    const body = JSON.parse(text) as Json
    // Items of built-in kinds come without their kind.
    const items = listOf(at(body, 'items')).map(
      (item) => ({ ...item, apiVersion: kind.apiVersion, kind: kind.kind }) as unknown as KubeObject,
    )
    return { items, version: String(at(body, 'metadata', 'resourceVersion') ?? '0') }
  }

  /**
   * Server-side apply of exactly these bytes; never by force.
   *
   * @returns the object as it is now, or would be
   * @throws FacetError invalid_request for an unknown field, a conflict (with its manager), or pods that
   *   PodSecurity would not admit, which the server only warns of
   */
  async apply(
    object: KubeObject,
    signal: AbortSignal,
    { dryRun = false }: ApplyOptions = {},
  ): Promise<KubeObject> {
    const ref = toRef(object)
    const path = await this.#discovery.pathOf(ref, signal)
    if (path === undefined) throw unknownKind(ref)
    const { status, text, warnings, retryAfterMs } = await this.#call(
      {
        method: 'PATCH',
        path,
        query: {
          fieldManager: FIELD_MANAGER,
          fieldValidation: 'Strict',
          ...(dryRun ? { dryRun: 'All' } : {}),
        },
        contentType: APPLY,
        body: object,
      },
      signal,
    )
    for (const warning of warnings) this.#options.onWarning?.(`${titleOf(ref)}: ${warning}`)
    if (status !== 200 && status !== 201)
      throw toApiError({ title: titleOf(ref) }, status, text, retryAfterMs)
    const insecure = warnings.find((warning) => warning.includes('violate PodSecurity'))
    if (insecure !== undefined)
      throw new FacetError(
        'invalid_request',
        `${titleOf(ref)} would have no pods: ${insecure}; give its namespace the level it needs.`,
        { field: 'spec.template.spec.securityContext' },
      )
    return JSON.parse(text) as KubeObject
  }

  /** Sets the number of replicas, which is not in a manifest. */
  async scale(ref: ObjectRef, replicas: number, signal: AbortSignal): Promise<void> {
    const path = await this.#discovery.pathOf(ref, signal)
    if (path === undefined) throw unknownKind(ref)
    const { status, text, retryAfterMs } = await this.#call(
      {
        method: 'PATCH',
        path: `${path}/scale`,
        query: { fieldManager: FIELD_MANAGER },
        contentType: 'application/merge-patch+json',
        body: { spec: { replicas } },
      },
      signal,
    )
    if (status !== 200) throw toApiError({ title: titleOf(ref) }, status, text, retryAfterMs)
  }

  /** Asks for its deletion, and of this very object only; look again to see it gone. Nothing to do is no error. */
  async delete(ref: ObjectRef, uid: string, signal: AbortSignal): Promise<void> {
    const path = await this.#discovery.pathOf(ref, signal)
    if (path === undefined) return
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy: 'Background',
      preconditions: { uid },
    }
    const { status, text, retryAfterMs } = await this.#call({ method: 'DELETE', path, body }, signal)
    if (status === 404 || status === 200 || status === 202) return
    throw toApiError({ title: titleOf(ref) }, status, text, retryAfterMs)
  }

  /** The last lines of a container's log, `previous` of the one before it was started again. */
  async logs(
    pod: { readonly name: string; readonly namespace: string },
    container: string,
    lines: number,
    signal: AbortSignal,
    previous = false,
  ): Promise<string[]> {
    const query = { container, tailLines: String(lines), ...(previous ? { previous: 'true' } : {}) }
    const { status, text } = await this.#call({ method: 'GET', path: logPath(pod), query }, signal)
    // A container that has not started has no log.
    return status === 200 ? toLines(text) : []
  }

  /**
   * What the node holds of a running container's log: it begins another file after 10 MiB.
   *
   * @throws FacetError where it cannot be read
   */
  async wholeLog(
    pod: { readonly name: string; readonly namespace: string },
    container: string,
    signal: AbortSignal,
  ): Promise<string[]> {
    const call = { method: 'GET', path: logPath(pod), query: { container } } as const
    const { status, text, retryAfterMs } = await this.#call(call, signal)
    if (status === 200) return toLines(text)
    throw toApiError({ title: `The log of ${container} in Pod ${pod.name}` }, status, text, retryAfterMs)
  }

  /**
   * What a pod answers on one of its ports, asked through the API server.
   *
   * @throws FacetError unavailable, where the pod does not answer
   */
  async fromPod(
    pod: { readonly name: string; readonly namespace: string },
    port: number,
    path: string,
    signal: AbortSignal,
  ): Promise<string> {
    const inside = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}:${port}/proxy${path}`
    const { status, text, retryAfterMs } = await this.#call({ method: 'GET', path: inside }, signal)
    if (status === 200) return text
    throw toApiError({ title: `Pod ${pod.name} on port ${port}` }, status, text, retryAfterMs)
  }

  /** A watch as it comes; see watch.ts, which goes on where this ends. */
  async stream(
    kind: KindRef & { readonly namespace?: string },
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<ApiAnswer> {
    const path = await this.#discovery.pathOf({ ...kind, name: '' }, signal)
    if (path === undefined) throw unknownKind(kind)
    const answer = await this.#send({ method: 'GET', path, query: { ...query, watch: 'true' } }, signal)
    if (answer.status === 200) return answer
    throw toApiError({ title: `The watch of ${kind.kind}s` }, answer.status, await toText(answer, signal))
  }

  /**
   * Where a Service answers to whoever the cluster lets in: a path through the API server, which checks the
   * sign-in, the right to `services/proxy`, and the certificate.
   */
  proxyOf(service: { readonly name: string; readonly namespace: string }, port: string): ServiceProxy {
    const { config } = this.#options
    const path = `/api/v1/namespaces/${service.namespace}/services/${service.name}:${port}/proxy`
    return { url: serverOf(config) + path, context: config.getCurrentContext() }
  }

  async #call(
    call: ApiCall,
    signal: AbortSignal,
  ): Promise<Omit<ApiAnswer, 'stream'> & { readonly text: string }> {
    const { config, callMs = CALL_MS } = this.#options
    const late = AbortSignal.timeout(callMs)
    const both = AbortSignal.any([signal, late])
    try {
      const answer = await this.#send(call, both)
      return { ...answer, text: await toText(answer, both) }
    } catch (cause) {
      if (signal.aborted || !late.aborted) throw cause
      throw new FacetError(
        'timeout',
        `The Kubernetes API server ${serverOf(config)} did not answer within ${callMs / 1000} s; a write may have happened all the same, so look before you repeat it.`,
        { cause },
      )
    }
  }

  /** A token may have ended on the way: then once more with another. */
  async #send(call: ApiCall, signal: AbortSignal): Promise<ApiAnswer> {
    const { config, renew } = this.#options
    const answer = await send(config, call, signal)
    if (answer.status !== 401 || !renew) return answer
    await toText(answer, signal)
    renew()
    return send(config, call, signal)
  }
}

export function toRef({ apiVersion, kind, metadata }: KubeObject): ObjectRef {
  const { name, namespace } = metadata
  return { apiVersion, kind, name, ...(typeof namespace === 'string' ? { namespace } : {}) }
}

const titleOf = ({ kind, name, namespace }: ObjectRef): string =>
  `${kind} ${name}${namespace === undefined ? '' : ` in ${namespace}`}`

const logPath = (pod: { readonly name: string; readonly namespace: string }): string =>
  `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/log`

const toLines = (text: string): string[] => text.split('\n').filter((line) => line !== '')
