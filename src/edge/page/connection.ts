/** The connection to the server as the page shows it: its state, its models, and the key it may ask for. */
import { FacetError, type ModelSpec } from '../../index.ts'
import { element } from './dom.ts'
import type { Server } from './server.ts'

/** How often a server that is not ready is asked again. */
const POLL_MS = 1500

const keyField = element('key-field', HTMLElement)
const key = element('key', HTMLInputElement)
const choice = element('model-choice', HTMLSelectElement)

export class Connection {
  readonly #server: Server
  readonly #onChange: () => void
  #models: readonly ModelSpec[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Why the server cannot be asked; undefined when it can. */
  message: string | undefined = 'Connecting …'

  /** @param onChange told of every change of the message and the model */
  constructor(server: Server, onChange: () => void) {
    this.#server = server
    this.#onChange = onChange
    choice.addEventListener('change', onChange)
    key.addEventListener('change', () => this.#setKey())
  }

  /** The chosen model; undefined until the server has told. */
  get model(): ModelSpec | undefined {
    return this.#models.find(({ id }) => id === choice.value) ?? this.#models[0]
  }

  /** Asks until the server is ready. */
  async connect(): Promise<void> {
    clearTimeout(this.#timer)
    const state = await this.#server.state()
    if (state.type === 'locked') {
      keyField.hidden = false
    } else {
      this.#setModels(state.models)
    }
    this.message = state.type === 'ready' ? undefined : state.message
    this.#onChange()
    // A locked server waits for the reader.
    if (state.type === 'waiting') this.#timer = setTimeout(() => void this.connect(), POLL_MS)
  }

  #setModels(models: readonly ModelSpec[]): void {
    if (models.length === 0) return
    const before = choice.value
    this.#models = models
    choice.replaceChildren(...models.map(({ id }) => new Option(id)))
    if (models.some(({ id }) => id === before)) choice.value = before
    element('model-field', HTMLElement).hidden = models.length < 2
  }

  #setKey(): void {
    try {
      this.#server.setKey(key.value.trim())
    } catch (error) {
      if (!(error instanceof FacetError)) throw error
      this.message = error.message
      this.#onChange()
      return
    }
    void this.connect()
  }
}
