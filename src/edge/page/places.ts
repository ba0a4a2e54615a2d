/** Where the model runs: the choice in the settings, loading the model into the page, and what is asked. */
import type { Engine } from '../../engine/browser.ts'
import { FacetError } from '../../index.ts'
import type { Asked } from './ask.ts'
import { chosen, element } from './dom.ts'
import { type LocalGraph, loadLocal, type Offer, obstacleOf, offered, threadsNote } from './local.ts'
import type { Server } from './server.ts'

export type PlaceName = 'server' | LocalGraph

const NAMES: Readonly<Record<PlaceName, string>> = {
  server: 'the server',
  wasm: 'this page on WebAssembly',
  webgpu: 'this page on WebGPU',
}

const form = element('connection', HTMLFormElement)
const note = element('place-note', HTMLElement)
const bar = element('place-progress', HTMLProgressElement)
const load = element('load', HTMLButtonElement)

/** One model at a time is in the page's memory. */
export class Places {
  readonly #server: Server
  readonly #onChange: () => void
  #offer: Offer | undefined
  #engine: Engine | undefined
  #graph: LocalGraph | undefined
  #loading = false

  constructor(server: Server, onChange: () => void) {
    this.#server = server
    this.#onChange = onChange
    form.addEventListener('submit', (event) => event.preventDefault())
    element('places', HTMLElement).addEventListener('change', () => this.#show())
    load.addEventListener('click', () => void this.#load())
  }

  get name(): PlaceName {
    return chosen(form, 'place') as PlaceName
  }

  /** For people. */
  get label(): string {
    return NAMES[this.name]
  }

  /** The engine of the chosen place; undefined for the server, and until it is loaded. */
  get engine(): Engine | undefined {
    return this.name === this.#graph ? this.#engine : undefined
  }

  /** What answers; undefined until it is loaded. */
  get backend(): Asked | undefined {
    return this.name === 'server' ? this.#server.client : this.engine
  }

  /** Finds out what the server offers and the browser can. */
  async look(): Promise<void> {
    this.#offer = await offered()
    const problems: string[] = []
    for (const graph of ['wasm', 'webgpu'] as const) {
      const input = form.querySelector<HTMLInputElement>(`input[value="${graph}"]`)!
      const obstacle = this.#offer ? obstacleOf(graph) : "This server does not offer the model's files."
      input.disabled = obstacle !== undefined
      if (obstacle !== undefined && !problems.includes(obstacle)) problems.push(obstacle)
    }
    note.textContent = problems.join(' ')
  }

  async #load(): Promise<void> {
    const graph = this.name
    if (graph === 'server') return
    await this.#engine?.close()
    this.#engine = undefined
    this.#loading = true
    bar.value = 0
    this.#show('Loading …')
    let problem: string | undefined
    try {
      this.#engine = await loadLocal(graph, (share) => {
        bar.value = share
      })
      this.#graph = graph
    } catch (error) {
      if (!(error instanceof FacetError)) throw error
      problem = error.message
    } finally {
      this.#loading = false
      this.#show(problem)
    }
  }

  #show(message?: string): void {
    const { name, engine } = this
    const local = name !== 'server'
    bar.hidden = !this.#loading
    load.hidden = !local || engine !== undefined || this.#loading
    if (message !== undefined) note.textContent = message
    else if (!local) note.textContent = ''
    else if (engine) note.textContent = `${engine.model.id} is loaded.${threadsNote()}`
    else note.textContent = `${toMegabytes(this.#offer)} will be fetched from the server.${threadsNote()}`
    this.#onChange()
  }
}

function toMegabytes(offer: Offer | undefined): string {
  const megabytes = (offer?.sizeBytes ?? 0) / 1e6
  return megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toFixed(1)} GB`
}
