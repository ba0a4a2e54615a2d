/** A program whose kernels are compiled when a pass first needs them: loading does not wait for what few use. */
import { type Compiler, type Dispatch, type PassSize, Program } from './program.ts'

export class LazyProgram {
  readonly #compiler: Compiler
  readonly #dispatches: readonly Dispatch[]
  #ready: ReadonlySet<Dispatch> = new Set()
  #program = new Program([])

  constructor(compiler: Compiler, dispatches: readonly Dispatch[]) {
    this.#compiler = compiler
    this.#dispatches = dispatches
  }

  /** All that is ready, in order. */
  get program(): Program {
    return this.#program
  }

  isReady(size: PassSize): boolean {
    return this.#dispatches.every((each) => this.#ready.has(each) || !each.groups(size))
  }

  /** @throws FacetError unsupported, as the compiler */
  async prepare(size: PassSize): Promise<void> {
    const wanted = this.#dispatches.filter((each) => this.#ready.has(each) || each.groups(size))
    this.#program = await this.#compiler.program(wanted)
    this.#ready = new Set(wanted)
  }

  /** Has everything compiled while other things go on. Whoever needs a kernel that fails is told by `prepare`. */
  compileAll(): void {
    this.#compiler.program(this.#dispatches).catch(() => {}) // kept, and thrown by `prepare`
  }
}
