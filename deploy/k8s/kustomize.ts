/** The folder k8s/ as data: a base, components and overlays for `kubectl apply -k`, from the same manifests. */
import type { Json, JsonObject } from '../target.ts'
import { toComputeClass } from './capacity.ts'
import { toGateway } from './gateway.ts'
import { type JsonPatch, jsonPatch } from './json-patch.ts'
import { toBase, toNamespace } from './manifests.ts'
import { type KubeObject, toObjectId } from './object.ts'
import { BASE, BEHIND_GATEWAY, GATEWAY, L4_CAPACITY, OVERLAYS, SCALING } from './presets.ts'
import { toHorizontalPodAutoscaler, toMonitoring, toScaledObject } from './scaling.ts'
import type { Serving } from './serving.ts'

/** Every overlay goes here; the base goes wherever `kubectl -n` says. */
export const NAMESPACE = 'gemma'

export interface Kustomization {
  readonly kind: 'Kustomization' | 'Component'
  readonly namespace?: string
  /** Folders beside this one. */
  readonly resources?: readonly string[]
  readonly components?: readonly string[]
  readonly objects: readonly KubeObject[]
  readonly patches?: readonly { readonly target: KubeObject; readonly operations: JsonPatch }[]
}

/** By folder under k8s/. */
export function toKustomizations(): ReadonlyMap<string, Kustomization> {
  const component = (...objects: KubeObject[]): Kustomization => ({ kind: 'Component', objects })
  const base = toBase(BASE)
  return new Map<string, Kustomization>([
    ['namespace', { kind: 'Kustomization', objects: [toNamespace(NAMESPACE, 'restricted')] }],
    ['namespace-tpu', { kind: 'Kustomization', objects: [toNamespace(NAMESPACE, 'baseline')] }],
    ['base', { kind: 'Kustomization', objects: base }],
    ['components/monitoring', component(...toMonitoring(BASE))],
    ['components/hpa', component(toHorizontalPodAutoscaler(BASE, SCALING))],
    ['components/keda', component(...toScaledObject(BASE, SCALING))],
    ['components/gateway', component(...toGateway(BASE, GATEWAY))],
    ['components/compute-class-l4', component(toComputeClass(BASE, L4_CAPACITY))],
    ...Object.entries(OVERLAYS).map(
      ([name, serving]) =>
        [`overlays/${name}`, toOverlay(serving, base, BEHIND_GATEWAY.includes(name))] as const,
    ),
  ])
}

function toOverlay(serving: Serving, base: readonly KubeObject[], gateway: boolean): Kustomization {
  if (serving.server !== 'vllm')
    return {
      kind: 'Kustomization',
      namespace: NAMESPACE,
      objects: [...toBase(serving), ...toMonitoring(serving), toHorizontalPodAutoscaler(serving, SCALING)],
    }
  const components = ['monitoring', 'hpa', ...(gateway ? ['gateway'] : [])]
  const wanted = new Map(toBase(serving).map((object) => [toObjectId(object), object]))
  const patches = base
    .map((target) => ({ target, operations: jsonPatch(target, wanted.get(toObjectId(target))!) }))
    .filter(({ operations }) => operations.length > 0)
  return {
    kind: 'Kustomization',
    namespace: NAMESPACE,
    resources: ['../../base'],
    components: components.map((name) => `../../components/${name}`),
    objects: [],
    patches,
  }
}

/** What an overlay amounts to once kustomize has put it together. */
export function toOverlayObjects(name: string): KubeObject[] {
  const serving = { ...OVERLAYS[name]!, namespace: NAMESPACE }
  return [
    ...toBase(serving),
    ...toMonitoring(serving),
    toHorizontalPodAutoscaler(serving, SCALING),
    ...(BEHIND_GATEWAY.includes(name) ? toGateway(serving, GATEWAY) : []),
  ]
}

/** The files of a folder by name: one for each object, and kustomization.yaml. */
export function toFiles(kustomization: Kustomization): ReadonlyMap<string, JsonObject> {
  const { kind, namespace, resources = [], components, objects, patches } = kustomization
  const files = new Map(objects.map((object) => [toFileName(object, objects), object as JsonObject]))
  const apiVersion =
    kind === 'Component' ? 'kustomize.config.k8s.io/v1alpha1' : 'kustomize.config.k8s.io/v1beta1'
  return files.set('kustomization.yaml', {
    apiVersion,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    resources: [...resources, ...files.keys()],
    ...(components ? { components } : {}),
    ...(patches?.length ? { patches: patches.map(toPatchEntry) } : {}),
  })
}

function toPatchEntry({ target, operations }: { target: KubeObject; operations: JsonPatch }): JsonObject {
  // kustomize wants the operations as text; JSON is YAML.
  const lines = operations.map((operation) => `- ${JSON.stringify(operation)}\n`)
  return {
    target: { kind: target.kind, name: target.metadata.name } as Record<string, Json>,
    patch: lines.join(''),
  }
}

/** `network-policy.yaml`, with the name where a folder has several of the kind. */
function toFileName({ kind, metadata }: KubeObject, all: readonly KubeObject[]): string {
  const kebab = kind.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()
  const several = all.filter((other) => other.kind === kind).length > 1
  return several ? `${kebab}-${metadata.name}.yaml` : `${kebab}.yaml`
}
