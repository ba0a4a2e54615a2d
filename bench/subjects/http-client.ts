/** Asks an HTTP server for streams over connections that are kept, and times every token that arrives. */
import { connect, type Socket } from 'node:net'
import { serveSubject } from '../subject.ts'
import { INSTANT, KEY, nowMs, PACED } from './paced.ts'

/** The end of a chunked body. */
const LAST_CHUNK = '0\r\n\r\n'

function toRequest(model: string, tokens: number): string {
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: 'How do I find files by name?' }],
    max_tokens: tokens,
    stream: true,
  })
  return (
    'POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n' +
    `Authorization: Bearer ${KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  )
}

/** One connection; `stream` resolves with whether a whole answer came. */
class Connection {
  readonly #socket: Socket
  #text = ''
  #done: ((whole: boolean) => void) | undefined
  readonly #latencies: number[]

  /** @param latencies receives for each token the milliseconds since it was handed over */
  constructor(port: number, latencies: number[]) {
    this.#latencies = latencies
    this.#socket = connect(port, '127.0.0.1').setNoDelay(true).setEncoding('latin1')
    this.#socket.on('data', (text) => this.#take(String(text)))
    this.#socket.on('close', () => this.#finish(false))
    this.#socket.on('error', () => this.#finish(false))
  }

  stream(request: string): Promise<boolean> {
    this.#text = ''
    return new Promise((resolve) => {
      this.#done = resolve
      this.#socket.write(request)
    })
  }

  end(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    const atMs = nowMs()
    for (const [, sentMs] of text.matchAll(/"content":"(\d+\.\d+)"/g)) {
      this.#latencies.push(atMs - Number(sentMs))
    }
    // Enough to see the status and the end.
    this.#text = this.#text === '' ? text : this.#text.slice(0, 15) + text.slice(-100)
    if (!text.endsWith(LAST_CHUNK)) return
    this.#finish(this.#text.startsWith('HTTP/1.1 200') && this.#text.includes('[DONE]'))
  }

  #finish(whole: boolean): void {
    this.#done?.(whole)
    this.#done = undefined
  }
}

async function run(
  port: number,
  connections: number,
  each: number,
  request: string,
): Promise<{ seconds: number; failed: number; latencies: number[] }> {
  const latencies: number[] = []
  const open = Array.from({ length: connections }, () => new Connection(port, latencies))
  let failed = 0
  const startMs = nowMs()
  await Promise.all(
    open.map(async (connection) => {
      for (let i = 0; i < each; i++) if (!(await connection.stream(request))) failed++
    }),
  )
  const seconds = (nowMs() - startMs) / 1000
  for (const connection of open) connection.end()
  return { seconds, failed, latencies }
}

serveSubject({
  /** Requests a second, and failed requests. */
  requests: async (port, connections, each, tokens) => {
    const { seconds, failed } = await run(port!, connections!, each!, toRequest(INSTANT, tokens!))
    return [(connections! * each!) / seconds, failed]
  },
  /** Milliseconds a token took from the backend to the client: median, 99th percentile, most; failed requests. */
  streams: async (port, connections, tokens) => {
    const { latencies, failed } = await run(port!, connections!, 1, toRequest(PACED, tokens!))
    const sorted = latencies.toSorted((a, b) => a - b)
    const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN
    const missing = connections! * tokens! - sorted.length
    return [at(0.5), at(0.99), at(1), failed, missing]
  },
})
