import { context, trace } from '@opentelemetry/api'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEdge, type EdgeOptions, type LogEntry } from '../../src/edge/app.ts'
import { FacetError } from '../../src/errors.ts'
import { FakeBackend } from './fake-backend.ts'
import { CHAT, COMPLETIONS, HELLO, post } from './http.ts'

const exporter = new InMemorySpanExporter()
beforeEach(() => {
  exporter.reset()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  trace.setGlobalTracerProvider(provider)
})
afterEach(() => {
  trace.disable()
  context.disable()
})

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

async function spansOf(
  path: string,
  body: object,
  options: Partial<EdgeOptions> = {},
  init: RequestInit = {},
) {
  const app = createEdge({ backends: [new FakeBackend()], ...options })
  await (await post(app, path, body, init)).text()
  return exporter.getFinishedSpans()
}

const one = (spans: readonly ReadableSpan[]): ReadableSpan => {
  expect(spans).toHaveLength(1)
  return spans[0]!
}

describe('a span', () => {
  it('tells of an answer by the gen_ai conventions', async () => {
    const body = { ...HELLO, temperature: 0.5, max_tokens: 9, seed: 3, stop: ['.'], stream: true }
    const span = one(await spansOf(CHAT, body))
    expect(span.name).toBe('chat fake-model')
    expect(span.attributes).toEqual({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'gemfacet',
      'gen_ai.request.model': 'fake-model',
      'gen_ai.request.temperature': 0.5,
      'gen_ai.request.max_tokens': 9,
      'gen_ai.request.seed': 3,
      'gen_ai.request.stop_sequences': ['.'],
      'gen_ai.output.type': 'text',
      'gen_ai.response.id': 'fake-1',
      'gen_ai.response.model': 'fake-model',
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.usage.input_tokens': 5,
      'gen_ai.usage.output_tokens': 3,
    })
  })

  it('is made for every choice', async () => {
    const spans = await spansOf(COMPLETIONS, { prompt: 'Say', n: 2 })
    expect(spans.map(({ name }) => name)).toEqual([
      'text_completion fake-model',
      'text_completion fake-model',
    ])
  })

  it("continues the caller's trace, which the log names too", async () => {
    const lines: LogEntry[] = []
    const headers = { traceparent: `00-${TRACE}-${SPAN}-01` }
    const span = one(await spansOf(CHAT, HELLO, { log: (line) => lines.push(line) }, { headers }))
    expect(span.spanContext().traceId).toBe(TRACE)
    expect(span.parentSpanContext?.spanId).toBe(SPAN)
    expect(lines[0]!.trace_id).toBe(TRACE)
  })

  it.each(['', '00-0-0-0', `00-${'0'.repeat(32)}-${SPAN}-01`, `ff-${TRACE}-${SPAN}-01`, 'x'.repeat(5000)])(
    'begins a trace of its own where the caller sent none that is one: %.20s',
    async (traceparent) => {
      const span = one(await spansOf(CHAT, HELLO, {}, { headers: { traceparent } }))
      expect(span.parentSpanContext).toBeUndefined()
    },
  )

  it('tells how an answer failed, also one that the client left', async () => {
    const failing = new FakeBackend({
      before: (step) => {
        if (step === 1) throw new FacetError('stream_interrupted', 'It broke.')
      },
    })
    const span = one(await spansOf(CHAT, { ...HELLO, stream: true }, { backends: [failing] }))
    expect(span.attributes['error.type']).toBe('stream_interrupted')
    expect(span.status.message).toBe('It broke.')
    exporter.reset()
    const app = createEdge({ backends: [new FakeBackend()] })
    const { body } = await post(app, CHAT, { ...HELLO, stream: true })
    await body!.cancel()
    await new Promise(setImmediate)
    expect(exporter.getFinishedSpans()).toHaveLength(1)
  })

  it('holds what was asked and answered only when told to', async () => {
    expect(JSON.stringify(one(await spansOf(CHAT, HELLO)).attributes)).not.toMatch(/Hello/)
    exporter.reset()
    const { attributes } = one(await spansOf(CHAT, HELLO, { logPrompts: true }))
    expect(JSON.parse(String(attributes['gen_ai.input.messages']))).toEqual([
      { role: 'user', parts: [{ type: 'text', content: 'Hello' }] },
    ])
    expect(JSON.parse(String(attributes['gen_ai.output.messages']))).toEqual([
      { role: 'assistant', parts: [{ type: 'text', content: 'Hello!' }], finish_reason: 'stop' },
    ])
  })
})

it('answers the same without an SDK', async () => {
  trace.disable()
  const app = createEdge({ backends: [new FakeBackend()] })
  const headers = { traceparent: `00-${TRACE}-${SPAN}-01` }
  expect((await post(app, CHAT, HELLO, { headers })).status).toBe(200)
  expect(exporter.getFinishedSpans()).toEqual([])
})
