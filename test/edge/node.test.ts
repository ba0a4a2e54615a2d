import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import { FacetError } from '../../src/errors.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, frames, HELLO, type Json } from './http.ts'

const open: Served[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close(0)
})

async function start(backend = new FakeBackend(), hostname?: string): Promise<Served> {
  const app = createEdge({ backends: [backend] })
  const server = await serve({ app, port: 0, ...(hostname !== undefined && { hostname }) })
  open.push(server)
  return server
}

const ask = (server: Served, body: object, init: RequestInit = {}): Promise<Response> =>
  fetch(server.url + CHAT, { method: 'POST', body: JSON.stringify({ ...HELLO, ...body }), ...init })

describe('the server on Node', () => {
  it('answers, streamed and not, to this machine only by default', async () => {
    const server = await start()
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`)
    expect(((await (await ask(server, {})).json()) as Json).choices[0].message.content).toBe('Hello!')
    expect(await frames(await ask(server, { stream: true }))).toHaveLength(6)
  })

  it('names an address to type for every address', async () => {
    const server = await start(new FakeBackend(), '0.0.0.0')
    expect(server.url).toBe(`http://localhost:${server.port}`)
    expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).toBe(200)
  })

  it.each([{ stream: true }, { stream: false }])(
    'stops the backend when the client hangs up (%j)',
    async (body) => {
      const backend = new FakeBackend({ before: (step) => (step === 2 ? gate().passed : undefined) })
      const server = await start(backend)
      const controller = new AbortController()
      const pending = ask(server, { ...body, n: 2 }, { signal: controller.signal })
      if (body.stream) await (await pending).body!.getReader().read()
      else while (backend.active < 2) await new Promise((resolve) => setImmediate(resolve))
      controller.abort()
      if (!body.stream) await expect(pending).rejects.toThrow('aborted')
      await backend.idle()
      expect(backend.aborted).toBe(2)
    },
  )

  it('tells a client that its 10 MB body is too large, however it is sent', async () => {
    const server = await start()
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(10e6) }] })
    expect((await fetch(server.url + CHAT, { method: 'POST', body })).status).toBe(413)
    const chunked = new Blob([body]).stream()
    const init: RequestInit = { method: 'POST', body: chunked, ...({ duplex: 'half' } as object) }
    expect((await fetch(server.url + CHAT, init)).status).toBe(413)
    const status = await new Promise((resolve, reject) => {
      const request = httpRequest(server.url + CHAT, { method: 'POST' }, ({ statusCode }) =>
        resolve(statusCode),
      )
      request.on('error', reject)
      request.end(body)
    })
    expect(status).toBe(413)
  })

  it('survives a client that hangs up in the middle of its body', async () => {
    const backend = new FakeBackend()
    const server = await start(backend)
    const socket = connect(server.port, '127.0.0.1')
    await new Promise<void>((resolve) =>
      socket.write(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"mess`, () => resolve()),
    )
    socket.destroy()
    expect((await ask(server, {})).status).toBe(200)
    expect(backend.requests).toHaveLength(1)
  })

  it('does not read ahead of a client that reads slowly', async () => {
    const backend = new FakeBackend({ pieces: Array(20_000).fill('x'.repeat(10_000)) })
    const server = await start(backend)
    const controller = new AbortController()
    const response = await ask(server, { stream: true }, { signal: controller.signal })
    await response.body!.getReader().read()
    let before = -1
    // Steps go on until the sockets' buffers are full, then stand still while others are served.
    while (backend.steps !== before) {
      before = backend.steps
      for (let turn = 0; turn < 50; turn++) await (await fetch(`${server.url}/healthz`)).text()
    }
    expect(backend.steps).toBeLessThan(5_000)
    controller.abort()
    await backend.idle()
  })

  it('says which port is in use and what to do', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const failure = await serve({ app: createEdge({ backends: [new FakeBackend()] }), port }).catch(
      (error) => error,
    )
    other.close()
    expect(failure).toBeInstanceOf(FacetError)
    expect(failure.code).toBe('io_failed')
    expect(failure.message).toBe(
      `Port ${port} is already in use; stop the program that holds it, or choose another with --port or PORT.`,
    )
  })

  it('says when the host is not one of this machine', async () => {
    const app = createEdge({ backends: [new FakeBackend()] })
    await expect(serve({ app, port: 0, hostname: '192.0.2.1' })).rejects.toThrow(
      'is not an address of this machine',
    )
  })
})

describe('closing', () => {
  const waiting = () => {
    const door = gate()
    return { door, backend: new FakeBackend({ before: (step) => (step === 1 ? door.passed : undefined) }) }
  }

  it('lets a running answer finish, takes no new one, and keeps no connection', async () => {
    const { door, backend } = waiting()
    const server = await start(backend)
    const response = await ask(server, { stream: true })
    const closed = server.close()
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow()
    door.open()
    expect((await frames(response)).at(-1)).toBe('[DONE]')
    const beforeMs = performance.now()
    await closed
    expect(performance.now() - beforeMs).toBeLessThan(2000)
  })

  it('cuts what is left at the deadline, also one set later', async () => {
    const { backend } = waiting()
    const server = await start(backend)
    const response = await ask(server, { stream: true })
    const [patient] = [server.close(), server.close(0)]
    await patient
    await expect(response.text()).rejects.toThrow()
    await backend.idle()
    expect(backend.aborted).toBe(1)
  })

  it('is at once with only idle connections', async () => {
    const server = await start()
    await new Promise<void>((resolve) => {
      httpRequest(`${server.url}/healthz`, { headers: { connection: 'keep-alive' } }, async (response) => {
        await text(response)
        resolve()
      }).end()
    })
    await server.close()
  })
})
