import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { createEdge, type Stats } from '../../src/edge/app.ts'
import { Metrics } from '../../src/edge/metrics.ts'
import type { Backend, BackendStats } from '../../src/types.ts'
import { FakeBackend, gate } from './fake-backend.ts'
import { CHAT, COMPLETIONS, HELLO, post } from './http.ts'

const SAMPLE = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[\d.e+-]+|\+Inf|NaN)$/

/** Name and labels of each sample, as Prometheus reads the exposition format 0.0.4. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const types = new Map<string, string>()
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.slice(0, -1).split('\n')) {
    const [, type, kind] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? []
    if (type) types.set(type, kind!)
    else if (!line.startsWith('# HELP ')) {
      const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
      expect(name, line).toBeDefined()
      expect(types.has(name!.replace(/_(bucket|sum|count)$/, '')) || types.has(name!), line).toBe(true)
      samples.set(`${name}{${labels}}`, Number(value))
    }
  }
  return samples
}

const STATS: BackendStats = {
  graph: 'wasm (4 threads)',
  slots: 4,
  running: 2,
  waiting: 1,
  steps: 10,
  stepSequences: 15,
  batch: 2,
  kvTokens: 60,
  kvCapacityTokens: 256,
  promptTokens: 100,
  cachedTokens: 32,
  memoryBytes: 1e6,
}

const engine = (stats: () => Promise<BackendStats>): Backend => Object.assign(new FakeBackend(), { stats })

describe('/metrics', () => {
  it('counts answers, tokens and times as Prometheus reads them', async () => {
    let nowMs = 0
    const backend = new FakeBackend({
      before: (step) => {
        nowMs += step === 0 ? 200 : 30
      },
      finish: { usage: { promptTokens: 5, completionTokens: 3, cachedTokens: 2 } },
    })
    const app = createEdge({ backends: [backend], now: () => nowMs })
    await post(app, CHAT, HELLO)
    await (await post(app, COMPLETIONS, { prompt: 'a', stream: true })).text()
    await post(app, CHAT, {})
    await app.request('/none')
    const response = await app.request('/metrics')
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const samples = parse(await response.text())
    expect(Object.fromEntries(samples)).toMatchObject({
      'facet_requests_total{model="fake-model",outcome="ok"}': 2,
      'facet_requests_total{model="",outcome="invalid_request"}': 1,
      'facet_requests_total{model="",outcome="not_found"}': 1,
      'facet_prompt_tokens_total{model="fake-model",key=""}': 10,
      'facet_completion_tokens_total{model="fake-model",key=""}': 6,
      'facet_prompt_tokens_cached_total{model="fake-model",key=""}': 4,
      'facet_time_to_first_token_seconds_count{model="fake-model"}': 2,
      'facet_time_to_first_token_seconds_sum{model="fake-model"}': 0.4,
      'facet_time_to_first_token_seconds_bucket{model="fake-model",le="0.1"}': 0,
      'facet_time_to_first_token_seconds_bucket{model="fake-model",le="0.25"}': 2,
      'facet_time_to_first_token_seconds_bucket{model="fake-model",le="+Inf"}': 2,
      'facet_time_per_output_token_seconds_sum{model="fake-model"}': 0.06,
      'facet_requests_running{}': 0,
      'facet_queue_length{}': 0,
    })
    expect(samples.get('facet_process_memory_bytes{}')).toBeGreaterThan(1e6)
  })

  it('tells what the engine is doing, and drops it when the engine no longer tells', async () => {
    let fails = false
    const app = createEdge({
      backends: [
        engine(async () => {
          if (fails) throw new Error('gone')
          return STATS
        }),
      ],
    })
    const read = async () => Object.fromEntries(parse(await (await app.request('/metrics')).text()))
    expect(await read()).toMatchObject({
      'facet_engine_info{model="fake-model",graph="wasm (4 threads)"}': 1,
      'facet_engine_batch_size{model="fake-model"}': 2,
      'facet_engine_waiting{model="fake-model"}': 1,
      'facet_engine_kv_tokens{model="fake-model"}': 60,
      'facet_engine_kv_capacity_tokens{model="fake-model"}': 256,
      'facet_engine_prefix_hit_tokens{model="fake-model"}': 32,
      'facet_engine_memory_bytes{model="fake-model"}': 1e6,
    })
    fails = true
    expect(Object.keys(await read()).some((name) => name.startsWith('facet_engine'))).toBe(false)
  })
})

describe('/metrics of an engine amid a long step', () => {
  it('tells what it said before instead of waiting for it', async () => {
    let busy = false
    const app = createEdge({
      backends: [engine(() => (busy ? new Promise<never>(() => {}) : Promise.resolve(STATS)))],
    })
    const read = async (): Promise<string> => (await app.request('/metrics')).text()
    expect(await read()).toContain('facet_engine_batch_size{model="fake-model"} 2')
    busy = true
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const pending = read()
    await vi.advanceTimersByTimeAsync(500)
    vi.useRealTimers()
    expect(await pending).toContain('facet_engine_batch_size{model="fake-model"} 2')
  })
})

describe('/stats', () => {
  it('says the same as JSON, while it changes', async () => {
    const door = gate()
    const backend = engine(async () => STATS)
    const waiting = new FakeBackend({ id: 'other', before: () => door.passed })
    const app = createEdge({ backends: [backend, waiting], queue: { running: 1, waiting: 5 } })
    const read = async (): Promise<Stats> => (await app.request('/stats')).json()
    await post(app, CHAT, HELLO)
    expect(await read()).toMatchObject({
      running: 0,
      waiting: 0,
      requests: { ok: 1 },
      prompt_tokens: 5,
      completion_tokens: 3,
      first_token_ms: { count: 1, p50: expect.any(Number), p99: expect.any(Number) },
      models: [
        { model: 'fake-model', engine: STATS },
        { model: 'other', engine: null },
      ],
    })
    const pending = [1, 2].map(() => post(app, CHAT, { ...HELLO, model: 'other' }))
    while ((await read()).waiting < 1) await new Promise(setImmediate)
    expect(await read()).toMatchObject({ running: 2, waiting: 1 })
    door.open()
    await Promise.all(pending)
  })
})

describe('a histogram', () => {
  it('estimates quantiles between its bounds', () => {
    const histogram = new Metrics().histogram('x', 'x', [1, 2, 4])
    expect(histogram.quantile(0.5)).toBeUndefined()
    for (const value of [0.5, 1.5, 1.5, 3]) histogram.observe(value)
    expect(histogram.quantile(0.5)).toBe(1.5)
    expect(histogram.quantile(1)).toBe(4)
    histogram.observe(100)
    expect(histogram.quantile(1)).toBe(4)
  })
})

it('keeps its format whatever labels hold', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      (label, value) => {
        const metrics = new Metrics()
        metrics.counter('a_total', 'An\nodd \\ help.').add(value, { label })
        expect(parse(metrics.text()).size).toBe(1)
      },
    ),
  )
})
