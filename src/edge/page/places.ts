/** Where the model runs: the choice in the settings, loading the model into the page, and what is asked. */
import type { Engine } from '../../engine/browser.ts'
import { FacetError } from '../../index.ts'
import type { Asked } from './ask.ts'
import { SERVER } from './conversation.ts'
import { chosen, element, inside } from './dom.ts'
import { forget, isKept, type LocalGraph, loadLocal, type Offer, obstacleOf, offered } from './local.ts'
import type { Server } from './server.ts'

export type PlaceName = 'server' | LocalGraph

const NAMES: Readonly<Record<PlaceName, string>> = {
  server: SERVER,
  wasm: 'this page on WebAssembly',
  webgpu: 'this page on WebGPU',
}

const form = element('connection', HTMLFormElement)
const note = element('place-note', HTMLElement)
const bar = element('place-progress', HTMLProgressElement)
const load = element('load', HTMLButtonElement)
const remove = element('forget', HTMLButtonElement)

/** One model at a time is in the page's memory. */
export class Places {
  readonly #server: Server
  readonly #onChange: () => void
  #offer: Offer | undefined
  #engine: Engine | undefined
  #graph: LocalGraph | undefined
  #busy = false
  /** The browser has the model in its storage. */
  #kept = false
  /** What was said when the model had been loaded. */
  #loaded = ''
  #problem: string | undefined

  constructor(server: Server, onChange: () => void) {
    this.#server = server
    this.#onChange = onChange
    form.addEventListener('submit', (event) => event.preventDefault())
    element('places', HTMLElement).addEventListener('change', () => void this.#choose())
    load.addEventListener('click', () => void this.#load())
    remove.addEventListener('click', () => void this.#forget())
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
    for (const graph of ['wasm', 'webgpu'] as const) {
      const input = form.querySelector<HTMLInputElement>(`input[value="${graph}"]`)!
      const obstacle = this.#offer ? obstacleOf(graph) : "This server does not offer the model's files."
      input.disabled = obstacle !== undefined
      inside(input.parentElement!, 'small').textContent = obstacle ?? ''
    }
  }

  async #load(): Promise<void> {
    const graph = this.name
    if (graph === 'server') return
    this.#problem = undefined
    const notices: string[] = []
    this.#busy = true
    bar.value = 0
    this.#show('Loading …')
    try {
      await this.#engine?.close()
      this.#engine = undefined
      this.#engine = await loadLocal(graph, {
        onProgress: (share) => {
          bar.value = share
        },
        onNotice: (sentence) => notices.push(sentence),
      })
      this.#graph = graph
      this.#kept = await isKept()
      this.#loaded = [`${this.#engine.model.id} is loaded.`, ...notices].join(' ')
    } catch (error) {
      this.#problem = messageOf(error)
    } finally {
      this.#busy = false
      this.#show()
    }
  }

  /** Another place was chosen. */
  async #choose(): Promise<void> {
    this.#problem = undefined
    this.#show()
    if (this.name === 'server') return
    try {
      this.#kept = await isKept()
    } catch (error) {
      this.#problem = messageOf(error)
    }
    this.#show()
  }

  async #forget(): Promise<void> {
    try {
      await forget()
      this.#kept = false
    } catch (error) {
      this.#problem = messageOf(error)
    }
    this.#show()
  }

  #show(message: string = this.#problem ?? this.#description()): void {
    const local = this.name !== 'server'
    bar.hidden = !this.#busy
    load.hidden = !local || this.engine !== undefined || this.#busy
    remove.hidden = !local || !this.#kept || this.#busy
    note.textContent = message
    this.#onChange()
  }

  #description(): string {
    if (this.name === 'server') return ''
    if (this.engine) return this.#loaded
    return this.#kept
      ? 'The model is kept in this browser, and read from there.'
      : `${toMegabytes(this.#offer)} will be fetched from the server, and kept in this browser.`
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof FacetError)) throw error
  return error.message
}

function toMegabytes(offer: Offer | undefined): string {
  const megabytes = (offer?.sizeBytes ?? 0) / 1e6
  return megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toFixed(1)} GB`
}
