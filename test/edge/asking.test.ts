/** Embeddings and tokens: under the same defences as answers, and as visible. */
import { describe, expect, it } from 'vitest'
import { createEdge, type LogEntry, MemoryRates } from '../../src/edge/app.ts'
import type { CallOptions } from '../../src/types.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { post } from './http.ts'

const PATHS = [
  ['/v1/embeddings', { input: 'some text' }],
  ['/v1/tokenize', { prompt: 'some text' }],
  ['/v1/detokenize', { tokens: [1, 2] }],
] as const

/** @param wait before every answer */
const backendThat = (wait: (options?: CallOptions) => Promise<void>) =>
  Object.assign(new FakeBackend(), {
    embed: async (texts: readonly string[], options?: CallOptions) => {
      await wait(options)
      return texts.map(() => Float32Array.of(1))
    },
    tokenize: async (_: unknown, options?: CallOptions) => {
      await wait(options)
      return [1, 2, 3]
    },
    detokenize: async (_: unknown, options?: CallOptions) => {
      await wait(options)
      return 'some text'
    },
  })

describe.each(PATHS)('%s', (path, body) => {
  it('is in the log and the figures with its model', async () => {
    const lines: LogEntry[] = []
    const app = createEdge({ backends: [backendThat(async () => {})], log: (entry) => lines.push(entry) })
    expect((await post(app, path, body)).status).toBe(200)
    expect(lines).toEqual([expect.objectContaining({ path, model: 'fake-model', outcome: 'ok' })])
    const metrics = await (await app.request('/metrics')).text()
    expect(metrics).toContain('facet_requests_total{model="fake-model",outcome="ok"} 1')
    expect(metrics).toContain('facet_request_duration_seconds_count{model="fake-model"} 1')
  })

  it('ends when it takes too long, and the backend is told', async () => {
    const signals: (AbortSignal | undefined)[] = []
    const backend = backendThat(async (options) => {
      signals.push(options?.signal)
      await gate().passed
    })
    const app = createEdge({ backends: [backend], timeouts: { totalMs: 20 } })
    const response = await post(app, path, body)
    expect(response.status).toBe(504)
    expect((await response.json()).error).toMatchObject({ code: 'timeout' })
    expect(signals.map((signal) => signal?.aborted)).toEqual([true])
  })

  it('waits in the queue, which refuses what it cannot hold', async () => {
    const door = gate()
    const app = createEdge({ backends: [backendThat(() => door.passed)], queue: { running: 1, waiting: 0 } })
    const first = post(app, path, body)
    await new Promise((resolve) => setImmediate(resolve))
    const refused = await post(app, path, body)
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).not.toBeNull()
    door.open()
    expect((await first).status).toBe(200)
  })
})

it('tokens of embeddings are counted in the log, the figures and the rates', async () => {
  const lines: LogEntry[] = []
  const app = createEdge({
    backends: [backendThat(async () => {})],
    log: (entry) => lines.push(entry),
    rates: { store: new MemoryRates(() => 0), tokensPerMinute: 10 },
  })
  await post(app, '/v1/embeddings', { input: ['one', 'two'] })
  expect(lines[0]).toMatchObject({ prompt_tokens: 6, completion_tokens: 0 })
  expect(await (await app.request('/metrics')).text()).toContain(
    'facet_prompt_tokens_total{model="fake-model",key=""} 6',
  )
  const { headers } = await post(app, '/v1/embeddings', { input: 'three' })
  expect(headers.get('ratelimit')).toMatch(/^"tokens";r=4;/)
})
