/** Writes k8s/ from deploy/k8s: YAML that `kubectl apply -k` takes. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { dump } from 'js-yaml'
import { toFiles, toKustomizations } from '../deploy/k8s/kustomize.ts'
import type { JsonObject } from '../deploy/target.ts'

const HEADER = '# Written by scripts/k8s.ts from deploy/k8s: change it there.\n'

/** The text of one file. */
function toYaml(object: JsonObject): string {
  return HEADER + dump(object, { noRefs: true, lineWidth: -1 })
}

/** Every file of k8s/ by its path under it. */
export function toYamlFiles(): ReadonlyMap<string, string> {
  return new Map(
    [...toKustomizations()].flatMap(([folder, kustomization]) =>
      [...toFiles(kustomization)].map(([name, object]) => [`${folder}/${name}`, toYaml(object)] as const),
    ),
  )
}

if (import.meta.main) {
  const root = new URL('../k8s/', import.meta.url)
  rmSync(root, { recursive: true, force: true })
  for (const [path, text] of toYamlFiles()) {
    const file = new URL(path, root)
    mkdirSync(new URL('.', file), { recursive: true })
    writeFileSync(file, text)
  }
  console.log(`${toYamlFiles().size} files written to ${fileURLToPath(root)}`)
}
