/** The commands that a person types, in a folder of their own, against a cluster that goes on by itself. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GkeSpec } from '../../../../deploy/spec.ts'
import { facet, type Ran, type RunOptions } from '../../../cli/facet.ts'
import { ask } from './ask.ts'
import { type Behaviour, type Cluster, type ClusterOptions, startCluster } from './cluster.ts'

export const CONTEXT = 'gke_my-project_us-central1_facet'

export class Commands {
  readonly cluster: Cluster
  readonly folder: string
  readonly #env: Readonly<Record<string, string>>

  #target: GkeSpec['target'] = 'gke-gpu'

  private constructor(cluster: Cluster, folder: string, kubeconfig: string) {
    this.cluster = cluster
    this.folder = folder
    this.#env = { KUBECONFIG: kubeconfig, HF_TOKEN: 'hf_secret', KEYS: 'first-key,second-key' }
  }

  static async open(spec: GkeSpec, options: ClusterOptions = {}): Promise<Commands> {
    const cluster = await startCluster({ alone: true, ...options })
    const folder = await mkdtemp(join(tmpdir(), 'facet-commands-'))
    const commands = new Commands(cluster, folder, await cluster.kubeconfig(CONTEXT))
    await commands.configure(spec)
    return commands
  }

  /** What facet.config.ts says from now on. */
  configure(spec: GkeSpec): Promise<void> {
    this.#target = spec.target
    const config = JSON.stringify({ deployments: { gemma: spec } })
    return writeFile(join(this.folder, 'facet.config.ts'), `export default ${config}\n`)
  }

  /** @param words command and what follows it, without the file */
  run(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return facet([...words, '--config', this.folder], { ...options, env: { ...this.#env, ...options.env } })
  }

  /** Of a file under `.facet`. */
  async kept(name: string): Promise<Record<string, unknown>> {
    return JSON.parse(await readFile(join(this.folder, '.facet', name), 'utf8')) as Record<string, unknown>
  }

  /** Asks by the gateway for as long as something else goes on. @param canary how its servers behave */
  async whileAsked<T>(running: Promise<T>, canary: Partial<Behaviour> = {}): Promise<T> {
    let over = false
    const done = running.finally(() => {
      over = true
    })
    while (!over) {
      for (const { behaviour } of this.cluster.serversOf('gemma-canary-'))
        if (behaviour) Object.assign(behaviour, canary)
      await ask(this.cluster.gateway('facet', 'gemma')!, this.#target)
    }
    return done
  }

  async close(): Promise<void> {
    await this.cluster.close()
    await rm(this.folder, { recursive: true })
  }
}
