/** A provider that misbehaves on purpose: an OpenAI-compatible server on a real socket that plays faults. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

/** What every whole answer says, word for word. */
export const WORDS: readonly string[] = Array.from({ length: 60 }, (_, at) => `${at > 0 ? ' ' : ''}w${at}ü`)
export const ANSWER: string = WORDS.join('')

/** One request as the provider saw it. */
export interface Seen {
  readonly atMs: number
  /** Resolves when its connection is closed or its answer sent. */
  readonly closed: Promise<void>
}

/** How the n-th request, from 1, is answered. */
export type Fault = (reply: Reply, n: number) => void | Promise<void>

/** What a fault has at hand. */
export class Reply {
  readonly model: string
  readonly response: ServerResponse
  /** The role of the last message it was sent. */
  readonly lastRole: string
  readonly #request: IncomingMessage

  constructor(model: string, request: IncomingMessage, response: ServerResponse, lastRole: string) {
    this.model = model
    this.response = response
    this.lastRole = lastRole
    this.#request = request
  }

  /** Refuses before any answer. */
  refuse(status: number, error: object = {}, headers: Readonly<Record<string, string>> = {}): void {
    this.response.writeHead(status, { 'content-type': 'application/json', ...headers })
    this.response.end(JSON.stringify({ error: { message: `The provider says ${status}.`, ...error } }))
  }

  /** Sends the headers of a stream. */
  open(): this {
    this.response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    return this
  }

  /** Sends words of the answer, each in an event, all in one write. */
  words(from = 0, to: number = WORDS.length): this {
    const events = WORDS.slice(from, to).map((content) => this.#event([{ index: 0, delta: { content } }]))
    return this.raw(events.join(''))
  }

  #event(choices: readonly object[], more: object = {}): string {
    const { model } = this
    const chunk = { id: 'x', object: 'chat.completion.chunk', created: 1, model, choices, ...more }
    return `data: ${JSON.stringify(chunk)}\n\n`
  }

  raw(text: string): this {
    this.response.write(text)
    return this
  }

  /** Ends a whole answer. */
  finish(done = true): void {
    const usage = { prompt_tokens: 7, completion_tokens: 60, total_tokens: 67 }
    this.raw(this.#event([{ index: 0, delta: {}, finish_reason: 'stop' }]))
    this.raw(this.#event([], { usage }))
    this.response.end(done ? 'data: [DONE]\n\n' : '')
  }

  /** Closes the connection with a reset. */
  reset(): void {
    this.#request.socket.resetAndDestroy()
  }

  /** Closes the connection once all that was written is sent. */
  cut(): void {
    this.response.write(': cut\n\n', () => this.#request.socket.destroy())
  }
}

export const healthy: Fault = (reply) => reply.open().words().finish()

export class Provider {
  readonly seen: Seen[] = []
  readonly model: string
  #server: Server | undefined
  #port = 0
  readonly #fault: Fault
  readonly #now: () => number
  readonly #watchers = new Set<() => void>()

  constructor(model: string, fault: Fault, now: () => number) {
    this.model = model
    this.#fault = fault
    this.#now = now
  }

  get baseURL(): string {
    return `http://127.0.0.1:${this.#port}/v1`
  }

  /** Listens; where it has before, at the same address. */
  async start(): Promise<void> {
    const server = createServer(async (request, response) => {
      const body = (await json(request)) as { messages: { role: string }[] }
      const closed = Promise.withResolvers<void>()
      response.on('close', closed.resolve)
      const n = this.seen.push({ atMs: this.#now(), closed: closed.promise })
      const { role } = body.messages.at(-1)!
      const played = this.#fault(new Reply(this.model, request, response, role), n)
      for (const watch of this.#watchers) watch()
      await played
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Stops listening and closes every connection. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  /** Hands the address over to another provider. */
  async replaceWith(other: Provider): Promise<void> {
    await this.stop()
    other.#port = this.#port
    await other.start()
  }

  /** Resolves when this many requests have come. */
  async requests(count: number): Promise<void> {
    const enough = Promise.withResolvers<void>()
    const watch = (): void => {
      if (this.seen.length >= count) enough.resolve()
    }
    this.#watchers.add(watch)
    watch()
    await enough.promise
    this.#watchers.delete(watch)
  }
}
