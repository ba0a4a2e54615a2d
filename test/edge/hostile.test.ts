/** Clients that mean no good, or have simply gone, against a server on Node. */
import { request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Patience, type Served, serve } from '../../src/edge/entry/node.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, frames, HELLO } from './http.ts'

const servers: Served[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) await server.close(0)
})

async function start(patience: Patience, backend = new FakeBackend(), options = {}): Promise<Served> {
  const app = createEdge({ backends: [backend], ...options })
  const server = await serve({ app, port: 0, patience })
  servers.push(server)
  return server
}

/** A connection that has sent this much; `closed` resolves with what it was told. */
function open({ port }: Served, sent: string): { readonly socket: Socket; readonly closed: Promise<string> } {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  let told = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    told += text
  })
  socket.on('error', () => {}) // a reset is an end like any other
  socket.write(sent)
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(told))) }
}

const ask = (server: Served, body: object = {}, init: RequestInit = {}): Promise<Response> =>
  fetch(server.url + CHAT, { method: 'POST', body: JSON.stringify({ ...HELLO, ...body }), ...init })

const HEAD = `POST ${CHAT} HTTP/1.1\r\nHost: x\r\n`

describe('slowloris', () => {
  it.each([
    ['nothing', ''],
    ['headers that never end', `${HEAD}X-A: 1\r\n`],
    ['a body that never ends', `${HEAD}Content-Length: 1000\r\n\r\n{"messages"`],
    ['chunks that never end', `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{"mes\r\n`],
  ])('is cut off after sending %s, while others are served', async (_, sent) => {
    const server = await start({ headersMs: 200, requestMs: 300, stalledMs: 500 })
    const slow = Array.from({ length: 50 }, () => open(server, sent))
    expect((await ask(server)).status).toBe(200)
    for (const { closed } of slow) expect(await closed).toMatch(/^(HTTP\/1\.1 408|$)/)
    expect((await ask(server)).status).toBe(200)
  })

  it('finds only so many connections', async () => {
    const server = await start({ connections: 5 })
    const held = Array.from({ length: 5 }, () => open(server, HEAD))
    await Promise.all(held.map(({ socket }) => new Promise((resolve) => socket.once('connect', resolve))))
    expect(await open(server, HEAD).closed).toBe('')
    for (const { socket } of held) socket.destroy()
    let status: number | undefined
    while (status !== 200)
      status = await ask(server).then(
        (answer) => answer.status,
        () => undefined,
      )
  })
})

describe('a half-open connection', () => {
  it('whose client takes nothing of a long answer is cut, and its backend freed', async () => {
    const backend = new FakeBackend({ pieces: Array(5_000).fill('x'.repeat(10_000)) })
    const server = await start({ stalledMs: 300 }, backend)
    const body = JSON.stringify({ ...HELLO, stream: true })
    const { socket } = open(server, `${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`)
    socket.pause()
    while (backend.active === 0) await new Promise(setImmediate)
    await backend.idle()
    expect(backend.aborted).toBe(1)
    expect(backend.steps).toBeLessThan(5_000)
  })

  it('that waits for an answer in silence is not', async () => {
    const door = gate()
    const backend = new FakeBackend({ before: () => door.passed })
    const server = await start({ stalledMs: 50 }, backend)
    const patient = ask(server)
    // Another connection is cut for its silence; by then so would this one have been.
    await open(server, '').closed
    await open(server, '').closed
    door.open()
    expect((await patient).status).toBe(200)
  })
})

describe('clients that vanish', () => {
  it('100 of them in the middle of their streams leave nothing behind', async () => {
    const door = gate()
    const backend = new FakeBackend({ before: (step) => (step === 2 ? door.passed : undefined) })
    const server = await start({}, backend, { queue: { running: 60, waiting: 200 } })
    const vanish = async (): Promise<void> => {
      const client = httpRequest(server.url + CHAT, { method: 'POST' })
      client.on('error', () => {}) // it is we who hang up
      client.end(JSON.stringify({ ...HELLO, stream: true, n: 2 }))
      await new Promise<void>((resolve) => {
        client.on('response', (response) => response.once('data', () => resolve()))
      })
      client.destroy()
    }
    const vanished = Array.from({ length: 100 }, vanish)
    await Promise.all(vanished)
    await backend.idle()
    const stats = async () => (await fetch(`${server.url}/stats`)).json()
    let now = await stats()
    while (now.running > 0 || now.waiting > 0) now = await stats()
    door.open()
    expect((await frames(await ask(server, { stream: true }))).at(-1)).toBe('[DONE]')
    expect(backend.active).toBe(0)
  })
})
