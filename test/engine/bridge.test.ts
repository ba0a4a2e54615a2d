import { afterEach, describe, expect, it } from 'vitest'
import { createEngine } from '../../src/engine/backend.ts'
import { connectBackend, type RemoteBackend, serveBackend } from '../../src/engine/bridge.ts'
import { FacetError } from '../../src/errors.ts'
import type { Backend, CallOptions, ChatEvent, ChatRequest } from '../../src/types.ts'
import { collect } from './collect.ts'
import { fakeGraph, letters, says } from './fake-graph.ts'

const ports: MessagePort[] = []
afterEach(() => {
  for (const port of ports.splice(0)) port.close()
})

async function bridged(backend: Backend): Promise<{ remote: RemoteBackend; far: MessagePort }> {
  const { port1, port2 } = new MessageChannel()
  ports.push(port1, port2)
  const connected = connectBackend(port1)
  serveBackend(port2, backend)
  return { remote: await connected, far: port2 }
}

const engineSaying = (text: string): Backend =>
  createEngine({ graph: fakeGraph(says(text)), tokenizer: letters, model: { id: 'fake' } })

/** Sends some text, then waits until it is aborted, and remembers that. */
function waitingBackend(): Backend & { readonly aborted: Promise<void>; readonly calls: () => number } {
  const aborted = Promise.withResolvers<void>()
  let calls = 0
  return {
    name: 'waiting',
    model: { id: 'waiting' },
    aborted: aborted.promise,
    calls: () => calls,
    async *chat(_request: ChatRequest, { signal }: CallOptions = {}): AsyncGenerator<ChatEvent, void> {
      calls++
      yield { type: 'start', id: '1', model: 'waiting', backend: 'waiting' }
      yield { type: 'text', text: 'a' }
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
      aborted.resolve()
      throw new FacetError('aborted', 'The request was aborted.')
    },
  }
}

const ask: ChatRequest = { messages: [{ role: 'user', content: 'Hi' }], temperature: 0 }

describe('a backend behind a port', () => {
  it('answers, scores and describes itself like the one it stands for', async () => {
    const local = engineSaying('Hello.')
    const { remote } = await bridged(local)
    expect(remote.name).toBe('engine')
    expect(remote.model).toEqual(local.model)
    const near = await collect(local, { ...ask, logprobs: 2 })
    const far = await collect(remote, { ...ask, logprobs: 2 })
    expect({ ...far, events: far.events.slice(1) }).toEqual({ ...near, events: near.events.slice(1) })
    const request = { prompt: 'x', continuations: ['Hello', 'other'], top: 1 }
    expect(await remote.score!(request)).toEqual(await local.score!(request))
  })

  it('has no score and no figures where the other has none', async () => {
    const { remote } = await bridged(waitingBackend())
    expect(remote.score).toBeUndefined()
    expect(remote.stats).toBeUndefined()
  })

  it('tells the figures of the other side', async () => {
    const { remote } = await bridged(engineSaying('Hello.'))
    await collect(remote, ask)
    expect(await remote.stats!()).toMatchObject({ graph: 'fake', slots: 4, running: 0, steps: 7 })
  })

  it('keeps answers apart that run at the same time', async () => {
    const { remote } = await bridged(engineSaying('Hello.'))
    const answers = await Promise.all([2, 3, 4].map((maxTokens) => collect(remote, { ...ask, maxTokens })))
    expect(answers.map(({ text }) => text)).toEqual(['He', 'Hel', 'Hell'])
  })

  it('brings errors across with all they say', async () => {
    const failing: Backend = {
      name: 'failing',
      model: { id: 'x' },
      // biome-ignore lint/correctness/useYield: it fails before it has anything to say
      async *chat(): AsyncGenerator<ChatEvent, void> {
        throw new FacetError('queue_full', 'Full.', {
          retryAfterMs: 1234,
          field: 'f',
          status: 503,
          backend: 'b',
        })
      },
    }
    const { remote } = await bridged(failing)
    await expect(collect(remote, ask)).rejects.toThrow(FacetError)
    await expect(collect(remote, ask)).rejects.toMatchObject({
      code: 'queue_full',
      message: 'Full.',
      retryAfterMs: 1234,
      field: 'f',
      status: 503,
      backend: 'b',
      retry: 'elsewhere',
    })
    const engine = await bridged(engineSaying('x'))
    const score = engine.remote.score!({ prompt: 'x', continuations: [] })
    await expect(score).rejects.toMatchObject({ code: 'invalid_request', field: 'continuations' })
  })

  it('aborts the other side, and throws at once', async () => {
    const backend = waitingBackend()
    const { remote } = await bridged(backend)
    const controller = new AbortController()
    const answer = (async () => {
      for await (const event of remote.chat(ask, { signal: controller.signal })) {
        if (event.type === 'text') controller.abort()
      }
    })()
    await expect(answer).rejects.toMatchObject({ code: 'aborted' })
    await backend.aborted
  })

  it('aborts the other side when the loop is left', async () => {
    const backend = waitingBackend()
    const { remote } = await bridged(backend)
    for await (const event of remote.chat(ask)) if (event.type === 'text') break
    await backend.aborted
  })

  it('brings time limits across', async () => {
    const { remote } = await bridged(engineSaying('x'))
    const answer = collect(remote, ask, { timeouts: { totalMs: -1 } })
    await expect(answer).rejects.toMatchObject({ field: 'timeouts.totalMs' })
  })

  it('never calls the other side with a signal that is aborted already', async () => {
    const backend = waitingBackend()
    const { remote } = await bridged(backend)
    await expect(collect(remote, ask, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    })
    expect(backend.calls()).toBe(0)
  })

  it('fails every caller when the other side goes away, and every later one', async () => {
    const { remote, far } = await bridged(waitingBackend())
    const answers = [1, 2].map(() => collect(remote, ask))
    far.close()
    for (const answer of answers) await expect(answer).rejects.toMatchObject({ code: 'unavailable' })
    await expect(collect(remote, ask)).rejects.toMatchObject({ code: 'unavailable', retry: 'elsewhere' })
  })

  it('refuses a request that is not data', async () => {
    const { remote } = await bridged(engineSaying('x'))
    const answer = collect(remote, { ...ask, seed: (() => 1) as never })
    await expect(answer).rejects.toMatchObject({ code: 'invalid_request' })
  })
})
