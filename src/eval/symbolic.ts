/** Whether two formulas in LaTeX say the same: a computer algebra system in a thread that can be ended. */
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { type Clock, systemClock } from '../client/deadline.ts'
import { abortedError, FacetError } from '../errors.ts'

/** As lm-evaluation-harness gives SymPy. A tower of powers would be computed for minutes. */
const TIME_MS = 5000
/** Loading it takes a second on a machine that is not busy. */
const START_MS = 60_000
const HEAP_MEGABYTES = 512

/** What the thread is asked; it answers with a boolean, after one first message when it is there. */
export type Formulas = readonly [a: string, b: string]

/** @throws FacetError unsupported: the package is missing */
export function checkAlgebra(): void {
  try {
    createRequire(import.meta.url).resolve('@cortex-js/compute-engine')
  } catch (cause) {
    throw new FacetError(
      'unsupported',
      'MATH needs the package @cortex-js/compute-engine; run npm install @cortex-js/compute-engine.',
      { cause },
    )
  }
}

/** Whoever makes it closes it. The thread is started with the first question, and again where one has ended it. */
export class Algebra {
  readonly #clock: Clock
  #worker: Promise<Worker> | undefined
  /** One question after another. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** False also where they cannot be read, or it would take too long. @throws FacetError aborted */
  equal(a: string, b: string, signal?: AbortSignal): Promise<boolean> {
    if (!mayBeFormula(a) || !mayBeFormula(b)) return Promise.resolve(false)
    const answer = this.#turn.then(() => this.#ask([a, b], signal))
    this.#turn = answer.catch(() => {})
    return answer
  }

  async close(): Promise<void> {
    await (await this.#worker)?.terminate()
    this.#worker = undefined
  }

  async #ask(formulas: Formulas, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) throw abortedError(signal)
    this.#worker ??= this.#start()
    const worker = await this.#worker
    worker.postMessage(formulas)
    const answer = await this.#told(worker, TIME_MS, signal)
    // Nothing in time, or the thread has ended: the next question gets another.
    if (typeof answer !== 'boolean') await this.close()
    if (signal?.aborted) throw abortedError(signal)
    return answer === true
  }

  async #start(): Promise<Worker> {
    checkAlgebra()
    const worker = new Worker(new URL('./symbolic-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
      name: 'facet-algebra',
    })
    // Told by what it does not answer.
    worker.on('error', () => {})
    await this.#told(worker, START_MS)
    return worker
  }

  /** The next message; undefined where none comes in time, or none can come any more. */
  #told(worker: Worker, timeMs: number, signal?: AbortSignal): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const onEnd = (): void => resolve(undefined)
    worker.once('message', resolve).once('exit', onEnd)
    signal?.addEventListener('abort', onEnd, { once: true })
    const cancel = this.#clock.after(timeMs, onEnd)
    return promise.finally(() => {
      cancel()
      worker.off('message', resolve).off('exit', onEnd)
      signal?.removeEventListener('abort', onEnd)
    })
  }
}

const LONGEST = 300

/** Words are no products of their letters, and subscripts name bases, which change what digits mean. */
function mayBeFormula(text: string): boolean {
  const plain = text.replaceAll(/\\log_|\\[a-zA-Z]+/g, ' ')
  return text.length <= LONGEST && text.trim() !== '' && !/[a-zA-Z]{4}|_/.test(plain)
}
