/** What every Kubernetes object has: its kind, its name, and the labels that say what it belongs to. */
import { FacetError } from '../../src/errors.ts'
import { type Json, type JsonObject, OWNER_LABEL } from '../target.ts'

export interface KubeMetadata extends JsonObject {
  readonly name: string
}

/** An object as it is written in a file: without status and without what the server fills in. */
export interface KubeObject extends JsonObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: KubeMetadata
}

/** What names a set of objects that belong together. */
export interface Identity {
  /** Of the workload and its Service: a DNS label, at most 40 characters so that suffixes still fit. */
  readonly name: string
  /** Left out: the namespace that `kubectl -n` or the context names. */
  readonly namespace?: string
  /** The deployment they belong to, see OWNER_LABEL. Left out in files that people apply on their own. */
  readonly owner?: string
}

const DNS_LABEL = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const MAX_NAME = 40

/** Labels that select the pods; a Deployment's selector cannot be changed later, so nothing else belongs here. */
export function selectorLabels(identity: Identity, component = 'server'): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': identity.name, 'app.kubernetes.io/component': component }
}

/** Labels that every object carries. */
export function objectLabels(identity: Identity, component = 'server'): Readonly<Record<string, string>> {
  return {
    ...selectorLabels(identity, component),
    ...ownershipLabels(identity),
  }
}

/** Whose an object is, for people and for `down`. */
export function ownershipLabels({ owner }: Pick<Identity, 'owner'>): Readonly<Record<string, string>> {
  return {
    'app.kubernetes.io/part-of': 'gemfacet',
    ...(owner === undefined ? {} : { [OWNER_LABEL]: owner }),
  }
}

export interface ObjectOptions {
  /** Default: the identity's name. */
  readonly name?: string
  readonly component?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** An object with its name and labels; `rest` is everything beside apiVersion, kind and metadata. */
export function toObject(
  apiVersion: string,
  kind: string,
  identity: Identity,
  rest: Readonly<Record<string, Json>>,
  options: ObjectOptions = {},
): KubeObject {
  const { namespace } = identity
  return {
    apiVersion,
    kind,
    metadata: {
      name: options.name ?? identity.name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...objectLabels(identity, options.component) },
      ...(options.annotations === undefined ? {} : { annotations: { ...options.annotations } }),
    },
    ...rest,
  }
}

/** @throws FacetError invalid_request where Kubernetes would refuse the name */
export function checkIdentity(identity: Identity): void {
  for (const [field, value, most] of [
    ['name', identity.name, MAX_NAME],
    ['namespace', identity.namespace, 63],
  ] as const) {
    if (value === undefined || (DNS_LABEL.test(value) && value.length <= most)) continue
    throw new FacetError(
      'invalid_request',
      `${field} must be at most ${most} lower-case letters, digits and hyphens and begin with a letter, but is ${JSON.stringify(value)}.`,
      { field },
    )
  }
}

/** The object's place among all others, such as `apps/v1/Deployment/gemma`. */
export function toObjectId({ apiVersion, kind, metadata }: KubeObject): string {
  const { namespace } = metadata
  return [apiVersion, kind, ...(typeof namespace === 'string' ? [namespace] : []), metadata.name].join('/')
}
