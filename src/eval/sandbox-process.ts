/** One Python in a process of its own: started, asked for one program at a time, ended. */
import { type ChildProcess, fork } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../client/deadline.ts'
import { abortedError, FacetError } from '../errors.ts'
import type { SandboxLimits, Verdict } from './sandbox.ts'
import type { WorkerMessage, WorkerRequest, WorkerStart } from './sandbox-worker.ts'

/** A message, the exit status (null: by a signal), or undefined: nothing in time. */
type Told = WorkerMessage | number | null | undefined

/** Python starts in two seconds on a machine that is not busy. */
const START_MS = 120_000
/** Of JavaScript's own heap, which holds little but names of files. */
const HEAP_MEGABYTES = 128
const TOO_MUCH_OUTPUT = 65

/**
 * A process and not a thread: only a process can be without files, network, environment and children (the
 * permission model of Node.js), and what ends it ends nothing else.
 */
export class PythonProcess {
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  readonly #clock: Clock
  /** Told of each message, and of the end, as its exit status. */
  #listener: (what: WorkerMessage | number | null) => void = () => {}
  #alive = true

  private constructor(limits: SandboxLimits, clock: Clock) {
    this.#clock = clock
    const script = realpathSync(fileURLToPath(new URL('./sandbox-worker.ts', import.meta.url)))
    const start: WorkerStart = {
      pyodide: folderOfPyodide(),
      memoryBytes: limits.memoryBytes,
      outputBytes: limits.outputBytes,
      overflowStatus: TOO_MUCH_OUTPUT,
    }
    this.#child = fork(script, [JSON.stringify(start)], {
      execArgv: [
        '--permission',
        `--allow-fs-read=${script}`,
        `--allow-fs-read=${start.pyodide}`,
        '--disallow-code-generation-from-strings',
        `--max-old-space-size=${HEAP_MEGABYTES}`,
      ],
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
    })
    this.#child.on('message', (message: WorkerMessage) => this.#listener(message))
    this.#exited = new Promise((resolve) => {
      const onEnd = (status: number | null): void => {
        this.#alive = false
        this.#listener(status)
        resolve()
      }
      this.#child.once('exit', onEnd)
      this.#child.once('error', () => onEnd(null))
    })
  }

  /** The memory of a Python that has just started. @throws FacetError as start does */
  static async snapshot(limits: SandboxLimits, clock: Clock, signal?: AbortSignal): Promise<Uint8Array> {
    const python = new PythonProcess(limits, clock)
    const told = await python.#asked({ type: 'snapshot' }, START_MS, signal)
    await python.end()
    if (typeof told === 'object' && told?.type === 'snapshot') return told.snapshot
    throw notStarted(told)
  }

  /** Resolves once Python is there. @throws FacetError unsupported (pyodide is missing), unavailable, aborted */
  static async start(
    snapshot: Uint8Array,
    limits: SandboxLimits,
    clock: Clock,
    signal?: AbortSignal,
  ): Promise<PythonProcess> {
    const python = new PythonProcess(limits, clock)
    const told = await python.#asked({ type: 'load', snapshot }, START_MS, signal)
    if (typeof told === 'object' && told?.type === 'ready') return python
    await python.end()
    throw notStarted(told)
  }

  /** Whether it can run another program. */
  get alive(): boolean {
    return this.#alive
  }

  /** @throws FacetError aborted; the process has then ended */
  async run(program: string, timeMs: number, signal?: AbortSignal): Promise<Verdict> {
    const what = await this.#asked({ type: 'run', source: program }, timeMs, signal)
    if (typeof what === 'object' && what?.type === 'ended' && !what.fatal) {
      if (what.error === undefined) return { outcome: 'passed', detail: '' }
      if (!what.error.startsWith('MemoryError')) return { outcome: 'failed', detail: what.error }
    }
    await this.end()
    if (what === undefined) return { outcome: 'out_of_time', detail: `not done after ${timeMs} ms` }
    if (what === TOO_MUCH_OUTPUT) return { outcome: 'too_much_output', detail: 'wrote without end' }
    if (typeof what !== 'object' || what === null) return { outcome: 'crashed', detail: `status ${what}` }
    const detail = what.type === 'ended' ? (what.error ?? '') : ''
    return { outcome: detail.startsWith('MemoryError') ? 'out_of_memory' : 'crashed', detail }
  }

  async end(): Promise<void> {
    if (this.#alive) this.#child.kill('SIGKILL')
    await this.#exited
  }

  async #asked(request: WorkerRequest, timeMs: number, signal?: AbortSignal): Promise<Told> {
    const { promise, resolve, reject } = Promise.withResolvers<Told>()
    this.#listener = resolve
    // A process that has just ended says so by its status.
    this.#child.send(request, () => {})
    const onAbort = (): void => reject(abortedError(signal))
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
    const cancel = this.#clock.after(timeMs, () => resolve(undefined))
    try {
      return await promise
    } catch (error) {
      await this.end()
      throw error
    } finally {
      cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

function notStarted(told: Told): FacetError {
  const reason =
    told === undefined
      ? 'it took too long'
      : typeof told === 'object' && told?.type === 'unusable'
        ? told.reason
        : `its process ended with ${told}`
  return new FacetError('unavailable', `Python for code tasks did not start: ${reason}.`, { retry: 'never' })
}

/** @throws FacetError unsupported (pyodide is missing) */
export function checkPython(): void {
  folderOfPyodide()
}

function folderOfPyodide(): string {
  try {
    const found = createRequire(import.meta.url).resolve('pyodide/package.json')
    return dirname(realpathSync(found)) + sep
  } catch (cause) {
    throw new FacetError('unsupported', 'Code tasks need the package pyodide; run npm install pyodide.', {
      cause,
    })
  }
}
