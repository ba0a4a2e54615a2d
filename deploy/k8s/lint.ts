/** Finds in manifests what Kubernetes accepts and what then does not serve, is not safe, or is paid for in vain. */
import type { Json, JsonObject } from '../target.ts'
import { at, isObject, listOf, textsOf } from './json.ts'
import { POD_RULES } from './lint-pods.ts'
import { SET_RULES } from './lint-sets.ts'

export const RULES = [
  'probes',
  'model-probe',
  'shell-variable',
  'idle-accelerators',
  'misplaced-field',
  'open-load-balancer',
  'dead-api',
  'plain-secret',
  'image-version',
  'fuse-sidecar',
  'scaling-metric',
  'owned-replicas',
  'short-cooldown',
  'label-value',
] as const
export type Rule = (typeof RULES)[number]

export interface Finding {
  readonly rule: Rule
  /** `Deployment/gemma`. */
  readonly object: string
  /** The field at fault, such as `spec.template.spec.containers[0].args[1]`. */
  readonly field: string
  /** One sentence: what is wrong and what to write instead. */
  readonly says: string
}

/** What a rule says of one place. */
export interface Complaint {
  readonly rule: Rule
  readonly object: JsonObject
  readonly field: string
  readonly says: string
}

/** Everything to be said about these objects, which are meant to be applied together, in their order. */
export function lint(objects: readonly Json[]): Finding[] {
  const manifests = objects.filter(isObject)
  const pods = manifests.flatMap(podsOf)
  const complaints = [
    ...pods.flatMap((pod) => POD_RULES.flatMap((rule) => rule(pod))),
    ...SET_RULES.flatMap((rule) => rule(manifests, pods)),
  ]
  return complaints
    .map(({ object, ...rest }) => ({ object: toTitle(object), ...rest, at: manifests.indexOf(object) }))
    .sort((a, b) => a.at - b.at)
    .map(({ at: _, ...finding }) => finding)
}

/** A pod template and where it stands. */
export interface Pod {
  readonly object: JsonObject
  /** `spec.template`, or the empty text for a Pod. */
  readonly path: string
  readonly annotations: JsonObject
  readonly spec: JsonObject
  readonly containers: readonly Container[]
}

export interface Container {
  readonly path: string
  readonly body: JsonObject
  /** `command` and `args`, each with its path. */
  readonly words: readonly { readonly path: string; readonly text: string }[]
  /** GPUs or TPU chips that it asks for. */
  readonly accelerators: number
}

/** One for most kinds; one for each of a JobSet's jobs. */
function podsOf(object: JsonObject): Pod[] {
  const inner = at(object, 'spec', 'template')
  if (isObject(inner)) return toPod(object, 'spec.template', inner)
  const jobs = at(object, 'spec', 'jobTemplate', 'spec', 'template')
  if (isObject(jobs)) return toPod(object, 'spec.jobTemplate.spec.template', jobs)
  const replicated = listOf(at(object, 'spec', 'replicatedJobs'))
  if (replicated.length > 0)
    return replicated.flatMap((job, index) => {
      const path = `spec.replicatedJobs[${index}].template.spec.template`
      return toPod(object, path, at(job, 'template', 'spec', 'template'))
    })
  return object.kind === 'Pod' ? toPod(object, '', object) : []
}

function toPod(object: JsonObject, path: string, template: Json | undefined): Pod[] {
  const spec = at(template, 'spec')
  if (!isObject(spec)) return []
  const annotations = at(template, 'metadata', 'annotations')
  const root = path === '' ? 'spec' : `${path}.spec`
  const containers = listOf(spec.containers).map((body, index) =>
    toContainer(body, `${root}.containers[${index}]`),
  )
  return [{ object, path: root, annotations: isObject(annotations) ? annotations : {}, spec, containers }]
}

function toContainer(body: JsonObject, path: string): Container {
  const words = (['command', 'args'] as const).flatMap((field) =>
    textsOf(body[field]).map((text, index) => ({ path: `${path}.${field}[${index}]`, text })),
  )
  const limits = at(body, 'resources', 'limits')
  const amount = (name: string): number => (isObject(limits) ? Number(limits[name] ?? 0) || 0 : 0)
  return { path, body, words, accelerators: amount('nvidia.com/gpu') + amount('google.com/tpu') }
}

function toTitle(object: JsonObject): string {
  const name = at(object, 'metadata', 'name')
  return `${String(object.kind ?? 'Object')}/${typeof name === 'string' ? name : '?'}`
}
