/** The parent's side of a measured process: every engine runs in its own, so that memory and threads do not mix. */
import { type ChildProcess, fork } from 'node:child_process'
import type { Answer, Call, Reply } from './subject.ts'

/** Most of what a process says on standard error that is kept, for the reason when it fails. */
const KEPT_CHARACTERS = 2000
/** A process that was told to end gets this long. */
const GRACE_MS = 10_000

export class Subject {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>()
  readonly #exited: Promise<void>
  #said = ''
  #calls = 0

  /**
   * @param subject a file in subjects/, by name or as a bundle
   * @param node options for Node itself
   */
  constructor(subject: string | URL, args: readonly string[], node: readonly string[] = []) {
    const file = new URL(typeof subject === 'string' ? `./subjects/${subject}.ts` : subject, import.meta.url)
    this.#child = fork(file, [...args], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [...process.execArgv, ...node],
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-KEPT_CHARACTERS)
    })
    this.#child.on('message', (reply: Reply) => {
      const call = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      if ('answer' in reply) call?.resolve(reply.answer)
      else call?.reject(new Error(oneLine(reply.failed)))
    })
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', async (code, signal) => {
        // What it said last may still be on its way.
        await new Promise((soon) => setImmediate(soon))
        const last = oneLine(this.#said.trim().split('\n').at(-1) ?? '')
        const error = new Error(`its process ended with ${signal ?? code}${last && `: ${last}`}`)
        for (const { reject } of this.#waiting.values()) reject(error)
        this.#waiting.clear()
        resolve()
      })
    })
  }

  /** The method's answer is of the kind that the caller names. */
  call<Kind extends Answer = readonly number[]>(method: string, ...args: readonly number[]): Promise<Kind> {
    const call = Promise.withResolvers<Answer>()
    const id = this.#calls++
    this.#waiting.set(id, call)
    this.#child.send({ id, method, args } satisfies Call, (error) => {
      if (error) call.reject(new Error('its process has ended'))
    })
    return call.promise as Promise<Kind>
  }

  /** Ends the process, by force when it does not listen. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    const force = setTimeout(() => this.#child.kill('SIGKILL'), GRACE_MS)
    await this.#exited
    clearTimeout(force)
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300)
}
