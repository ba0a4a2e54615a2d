/** Which kinds an API server knows, and the paths at which it keeps their objects, by its own discovery. */
import { FacetError } from '../../src/errors.ts'
import type { Json, JsonObject } from '../target.ts'
import { isObject, listOf } from './json.ts'

/** Which kind; what discovery calls a resource. */
export interface KindRef {
  readonly apiVersion: string
  readonly kind: string
}

/** Which object. */
export interface ObjectRef extends KindRef {
  readonly name: string
  readonly namespace?: string
}

/** The text that the server answers below such a root as `/apis/apps/v1`; undefined where it knows none. */
type Read = (root: string, signal: AbortSignal) => Promise<string | undefined>

export class Discovery {
  readonly #read: Read
  readonly #resources = new Map<string, Promise<JsonObject[] | undefined>>()

  constructor(read: Read) {
    this.#read = read
  }

  /** Where the object lives; undefined for a kind that the server does not know. */
  async pathOf(ref: ObjectRef, signal: AbortSignal): Promise<string | undefined> {
    const root = ref.apiVersion.includes('/') ? `/apis/${ref.apiVersion}` : `/api/${ref.apiVersion}`
    const known = this.#resources.get(root) ?? this.#discover(root, signal)
    this.#resources.set(root, known)
    const resources = await known.catch((error: unknown) => {
      this.#resources.delete(root)
      const isAnothers = error instanceof FacetError && error.code === 'aborted' && !signal.aborted
      // Whoever began to ask has given up; who shares the question has not.
      if (isAnothers) return this.#discover(root, signal)
      throw error
    })
    const resource = resources?.find(({ kind, name }) => kind === ref.kind && !String(name).includes('/'))
    if (!resource) {
      // A kind may be installed while we wait for it.
      this.#resources.delete(root)
      return undefined
    }
    const inside =
      resource.namespaced === true && ref.namespace !== undefined ? `/namespaces/${ref.namespace}` : ''
    return `${root}${inside}/${String(resource.name)}${ref.name === '' ? '' : `/${ref.name}`}`
  }

  async #discover(root: string, signal: AbortSignal): Promise<JsonObject[] | undefined> {
    const text = await this.#read(root, signal)
    if (text === undefined) return undefined
    const body = JSON.parse(text) as Json
    return isObject(body) ? listOf(body.resources) : undefined
  }
}

/** Where kinds come from that not every cluster has. */
const PROVIDERS: readonly (readonly [RegExp, string])[] = [
  [/^keda\.sh\//, 'install KEDA'],
  [/^monitoring\.googleapis\.com\//, 'enable managed Prometheus on the cluster'],
  [/^gateway\.networking\.k8s\.io\//, 'enable the Gateway API on the cluster (--gateway-api=standard)'],
  [/^inference\.networking\.k8s\.io\//, 'install the InferencePool CRD of gateway-api-inference-extension'],
  [/^(networking\.gke\.io|cloud\.google\.com)\//, 'use a GKE cluster'],
]

export function unknownKind({ apiVersion, kind }: KindRef): FacetError {
  const remedy = PROVIDERS.find(([pattern]) => pattern.test(apiVersion))?.[1] ?? 'upgrade it'
  return new FacetError('unsupported', `The cluster has no ${kind} of ${apiVersion}: ${remedy}.`, {
    field: kind,
  })
}
