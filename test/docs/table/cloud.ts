/** How the commands of the pages on deployments are run. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FacetError } from '../../../src/errors.ts'
import { VertexCommands } from '../../deploy/vertex/commands.ts'
import type { Entry, PageEntries } from '../entry.ts'
import { cluster, configOf, made } from '../fixtures.ts'
import { ROOT } from '../pages.ts'
import { mistakesOf } from '../parse.ts'
import type { Ran } from '../place.ts'

const CLUSTER = 'a cluster in memory'

let vertex: VertexCommands | undefined

/** In this process, where Google's clients can be led elsewhere. @param changed what facet.config.ts says by then */
const onVertex = (changed?: object): Entry => ({
  how: 'run',
  against: "Google's clients against a server made from their own protos",
  by: async ([, , name, ...args], place): Promise<Ran> => {
    if (!vertex) {
      vertex = await VertexCommands.open()
      vertex.world.vertex.looks = 1
      place.atEnd(() => vertex?.close())
    }
    if (changed) await vertex.configure(changed)
    return vertex.run(name!, ...args).then(
      (text) => ({ code: 0, text }),
      (error: unknown) => {
        if (!(error instanceof FacetError)) throw error
        return { code: 1, text: error.message }
      },
    )
  },
})

/** The real one where it is installed; else its options are checked. */
const kubectl = (says: RegExp, instead: Readonly<Record<string, string>> = {}): Entry =>
  spawnSync('kubectl', ['version', '--client']).status === 0
    ? { how: 'run', against: CLUSTER, says, instead }
    : { how: 'parsed', because: 'kubectl is not installed here.' }

/** Terraform asks the network for its providers, so that it is held against infra/ instead. */
const variablesAreDeclared: Entry = {
  how: 'run',
  against: 'the variables that infra/ declares: providers come from the network',
  by: async (words): Promise<Ran> => {
    const files = readdirSync(join(ROOT, 'infra')).filter((name) => name.endsWith('.tf'))
    const text = files.map((name) => readFileSync(join(ROOT, 'infra', name), 'utf8')).join('\n')
    const given = words.flatMap((word, at) => (words[at - 1] === '-var' ? [word.split('=')[0]!] : []))
    const unknown = given.filter((name) => !text.includes(`variable "${name}"`))
    const required = [...text.matchAll(/^variable "(\w+)" \{((?:.|\n)*?)^\}/gm)]
      .filter(([, , body]) => !/^\s*default\s*=/m.test(body!))
      .map(([, name]) => name!)
    const missing = required.filter((name) => !given.includes(name))
    const mistakes = await mistakesOf(words.join(' '))
    const wrong = [...mistakes, ...unknown.map((name) => `no variable ${name}`), ...missing]
    return { code: wrong.length === 0 ? 0 : 1, text: wrong.join('\n') }
  },
}

const APPLY = `terraform apply -var project=my-project -var 'deployers=["group:ml@example.com"]'`

export const CLOUD: readonly PageEntries[] = [
  {
    page: 'docs/deploy.md',
    commands: {
      'npx facet plan gke-gpu': { how: 'run', says: /gke-gpu in us-central1/ },
      'npx facet plan gke-gpu --accelerator h100-80gb --concurrency 64': { how: 'run', says: /h100/i },
      'npx facet plan gke-gpu --devices 1': { how: 'run', exit: 1, says: /^facet: .*GiB|tokens/ },
      'npx facet plan big --json': {
        how: 'run',
        before: (place) => configOf(place, 'docs/deploy.md'),
        says: /"target": ?"gke-gpu"/,
      },
      'npx facet up vertex-gpu': onVertex(),
      'npx facet canary vertex-gpu': onVertex({ contextTokens: 4096 }),
      'npx facet down vertex-gpu': onVertex(),
    },
  },
  {
    page: 'docs/operations.md',
    prepare: async (place) => {
      await cluster(place)
      configOf(place, 'docs/quick-start.md')
      await made(place, 'facet up big')
    },
    commands: {
      '*/5 * * * * cd /srv/site && npx facet guard big': {
        how: 'run',
        against: CLUSTER,
        // What cron does first.
        instead: { '*/5 * * * * cd /srv/site && ': '' },
      },
    },
  },
  {
    page: 'docs/kubernetes.md',
    prepare: async (place) => {
      await cluster(place)
      place.link('k8s')
      place.link('infra')
    },
    commands: {
      'kubectl apply --server-side -k k8s/namespace': kubectl(/namespace\/gemma serverside-applied/),
      'kubectl -n gemma create secret generic hugging-face --from-literal=token="$HF_TOKEN"': kubectl(
        /secret\/hugging-face created/,
        // kubectl sends what it creates as protobuf, which the cluster in memory does not read.
        { '"$HF_TOKEN"': '"$HF_TOKEN" --dry-run=client -o json | kubectl create -f -' },
      ),
      'kubectl apply --server-side -k k8s/overlays/gke-l4': kubectl(
        /deployment.apps\/gemma serverside-applied/,
      ),
      'kubectl -n gemma rollout status deployment/gemma --timeout=30m': kubectl(/successfully rolled out/),
      'kubectl -n gemma port-forward service/gemma 8000:80': {
        how: 'parsed',
        because: 'It speaks SPDY or WebSockets to a node, which the cluster in memory has not.',
      },
      'cd infra': { how: 'run' },
      'terraform init': { how: 'parsed', because: 'Its providers come from the network.' },
      [APPLY]: variablesAreDeclared,
    },
  },
]
