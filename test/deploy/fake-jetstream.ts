/** JetStream without an engine: its HTTP front, its metrics, its log, and how it loads. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { isObject } from '../../src/check.ts'
import { toHistogram } from './fake-vllm-metrics.ts'
import { Loopback, textOf } from './loopback.ts'

export interface JetstreamTurn {
  readonly prompt: string
  readonly maxTokens: number
}

export class FakeJetstream {
  readonly log: string[] = ['Loading model google/gemma-7b-it', 'Fetching 9 files:   0%|          | 0/9']
  readonly turns: JetstreamTurn[] = []
  /** What it says. */
  reply: (turn: JetstreamTurn) => string = ({ prompt }) =>
    `You said: ${/<start_of_turn>user\n(.*)<end_of_turn>/.exec(prompt)?.[1] ?? prompt}`
  readonly behaviour: { errorRate: number; firstTokenMs: number } = {
    /** Of requests that are answered 500, 0 to 1: spread evenly, not by chance. */
    errorRate: 0,
    /** What its histogram says that a first token takes; Infinity: it is of a version that has none. */
    firstTokenMs: 40,
  }
  /** Prompts that wait for a place in the batch. */
  waiting = 0
  readonly #server = new Loopback((request, response) => this.#serve(request, response))
  readonly #accessLog: string[] = []
  readonly #firstTokens: number[] = []
  #asked = 0
  #phase: 'refused' | 'loading' | 'ready' = 'refused'

  get url(): string {
    return this.#server.url
  }

  get phase(): 'refused' | 'loading' | 'ready' {
    return this.#phase
  }

  /** The front listens before the engine has its weights. */
  async advance(): Promise<void> {
    if (this.#phase === 'refused') {
      this.log.push('Fetching 9 files:  44%|████▍     | 4/9 [00:25<00:31,  6.30s/it]')
      await this.#server.open()
      this.#phase = 'loading'
    } else if (this.#phase === 'loading') {
      this.log.push('Fetching 9 files: 100%|██████████| 9/9 [00:57<00:00,  6.36s/it]')
      this.#phase = 'ready'
    }
  }

  /** Of the HTTP front, or of the engine. */
  logOf(container: string): readonly string[] {
    return container === 'http' ? this.#accessLog : this.log
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url } = request
    if (url === '/metrics') return void response.end(this.#metrics())
    response.on('finish', () => {
      const { statusCode } = response
      const line = `"${method} ${url} HTTP/1.1" ${statusCode} ${STATUS_CODES[statusCode]}`
      this.#accessLog.push(`INFO:     127.0.0.1:40312 - ${line}`)
    })
    if (this.#phase !== 'ready') return reply(response, 500, { detail: 'failed to connect to all addresses' })
    if (url === '/healthcheck') return reply(response, 200, { status: 'success' })
    if (method !== 'POST' || url !== '/generate') return reply(response, 404, { detail: 'Not Found' })
    const body: unknown = JSON.parse(await textOf(request))
    if (!isObject(body)) return reply(response, 422, { detail: 'Input should be a valid dictionary' })
    const { prompt = 'This is an example prompt', max_tokens: most = 100 } = body
    const { errorRate, firstTokenMs } = this.behaviour
    const fails = Math.floor(++this.#asked * errorRate) > Math.floor((this.#asked - 1) * errorRate)
    if (fails) return reply(response, 500, { detail: 'prefill queue is full' })
    this.#firstTokens.push(firstTokenMs / 1000)
    const turn = { prompt: String(prompt), maxTokens: Number(most) }
    this.turns.push(turn)
    const words = this.reply(turn).match(/\s*\S+/g) ?? []
    reply(response, 200, { response: words.slice(0, turn.maxTokens).join('') })
  }

  #metrics(): string {
    const known = this.#firstTokens.filter((seconds) => Number.isFinite(seconds))
    return [
      '# TYPE jetstream_prefill_backlog_size gauge',
      `jetstream_prefill_backlog_size{id="gemma"} ${this.waiting}.0`,
      ...(known.length > 0 ? toHistogram('jetstream_time_to_first_token', { id: 'gemma' }, known) : []),
      '',
    ].join('\n')
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body, null, 4))
}
