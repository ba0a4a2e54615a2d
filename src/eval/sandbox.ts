/** Runs Python programs that nobody has read: with limits, and without any way to the machine they run on. */
import { type Clock, systemClock } from '../client/deadline.ts'
import { PythonProcess } from './sandbox-process.ts'

/** How a program ended. All but passed count as wrong. */
export interface Verdict {
  readonly outcome: 'passed' | 'failed' | 'out_of_time' | 'out_of_memory' | 'too_much_output' | 'crashed'
  /** The last line of the traceback, or what was too much; empty where it passed. */
  readonly detail: string
}

/** Of each program. */
export interface SandboxLimits {
  /** Default 10,000: three times what OpenAI's harness gives CPython, as pyodide is about so much slower. */
  readonly timeMs: number
  /** Of Python and all that it holds. Default 256 MiB. */
  readonly memoryBytes: number
  /** Standard output and error together. Default 1 MiB. */
  readonly outputBytes: number
}

export interface SandboxOptions extends Partial<SandboxLimits> {
  /** Programs at a time, each in a process with about 150 MB. Default 1. */
  readonly processes?: number
  readonly clock?: Clock
}

const LIMITS: SandboxLimits = { timeMs: 10_000, memoryBytes: 256 * 2 ** 20, outputBytes: 2 ** 20 }

/** Whoever makes it closes it. A process is started with the first program, used again, and replaced where one ends it. */
export class Sandbox {
  /** A Python that has just started is the same for all. */
  static #snapshot: Promise<Uint8Array> | undefined
  readonly #limits: SandboxLimits
  readonly #clock: Clock
  readonly #idle: PythonProcess[] = []
  readonly #all = new Set<PythonProcess>()
  readonly #waiting: (() => void)[] = []
  #places: number

  constructor({ processes = 1, clock = systemClock, ...limits }: SandboxOptions = {}) {
    this.#limits = { ...LIMITS, ...limits }
    this.#clock = clock
    this.#places = processes
  }

  /**
   * Passed: it came to its end by itself and raised nothing. It starts with an empty namespace, and finds modules and
   * files as the first program did.
   *
   * @throws FacetError unsupported (pyodide is missing), unavailable (Python does not start), aborted
   */
  async run(program: string, signal?: AbortSignal): Promise<Verdict> {
    await this.#place()
    try {
      const python = this.#idle.pop() ?? (await this.#start(signal))
      this.#all.add(python)
      try {
        return await python.run(program, this.#limits.timeMs, signal)
      } finally {
        if (python.alive) this.#idle.push(python)
        else this.#all.delete(python)
      }
    } finally {
      this.#places++
      this.#waiting.shift()?.()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((python) => python.end()))
    this.#all.clear()
    this.#idle.length = 0
  }

  async #start(signal?: AbortSignal): Promise<PythonProcess> {
    return PythonProcess.start(await this.#startedPython(), this.#limits, this.#clock, signal)
  }

  /** Not under one program's signal: the others wait for it too. */
  async #startedPython(): Promise<Uint8Array> {
    Sandbox.#snapshot ??= PythonProcess.snapshot(LIMITS, this.#clock)
    try {
      return await Sandbox.#snapshot
    } catch (error) {
      Sandbox.#snapshot = undefined
      throw error
    }
  }

  async #place(): Promise<void> {
    while (this.#places === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#places--
  }
}
