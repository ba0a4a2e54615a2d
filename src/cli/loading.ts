/** Stands in for the engine until it is loaded. */
import type { Readiness } from '../edge/app.ts'
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'

export class Loading {
  readonly #id: string
  engine: Backend | undefined
  /** 0 to 1. */
  progress = 0
  /** The engine with all it can do as soon as there is one; until then nothing but the model's name. */
  readonly backend: Backend

  constructor(id: string) {
    this.#id = id
    const nobody: Backend = {
      name: 'engine',
      model: { id },
      chat: () => {
        throw new FacetError('unavailable', `The model ${id} is still loading; try again soon.`)
      },
    }
    this.backend = new Proxy(nobody, {
      get: (target, property) => Reflect.get(this.engine ?? target, property),
      has: (target, property) => property in (this.engine ?? target),
    })
  }

  get readiness(): Readiness {
    if (this.engine) return { ready: true }
    const percent = Math.floor(this.progress * 100)
    return {
      ready: false,
      reason: `The model ${this.#id} is still loading (${percent}%); try again soon.`,
      progress: this.progress,
    }
  }
}
