/** As much of kustomize as k8s/ uses: resources, components, a namespace and JSON patches. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import type { KubeObject } from '../../../deploy/k8s/object.ts'
import type { JsonObject } from '../../../deploy/target.ts'
import { applyJsonPatch } from './json-patch.ts'

interface File {
  readonly namespace?: string
  readonly resources?: readonly string[]
  readonly components?: readonly string[]
  readonly patches?: readonly { readonly target: { kind: string; name: string }; readonly patch: string }[]
}

const read = (path: string): unknown => load(readFileSync(path, 'utf8'))

/** What `kubectl kustomize FOLDER` prints, in the order in which it is named. */
export function build(root: string, folder: string): KubeObject[] {
  const file = read(join(root, folder, 'kustomization.yaml')) as File
  const inner = (path: string): KubeObject[] =>
    existsSync(join(root, folder, path, 'kustomization.yaml'))
      ? build(root, join(folder, path))
      : [read(join(root, folder, path)) as KubeObject]
  const objects = [...(file.resources ?? []), ...(file.components ?? [])].flatMap(inner)
  return objects.map((object) => {
    const patches = (file.patches ?? []).filter(
      ({ target }) => target.kind === object.kind && target.name === object.metadata.name,
    )
    const patched = patches.reduce(
      (before, { patch }) => applyJsonPatch(before, load(patch) as JsonObject[]) as KubeObject,
      object,
    )
    return file.namespace === undefined ? patched : inNamespace(patched, file.namespace)
  })
}

function inNamespace(object: KubeObject, namespace: string): KubeObject {
  const subjects = object.subjects as readonly JsonObject[] | undefined
  const { name, ...rest } = object.metadata
  return {
    ...object,
    metadata: { name, namespace, ...rest },
    ...(subjects ? { subjects: subjects.map((one) => ({ ...one, namespace })) } : {}),
  }
}
