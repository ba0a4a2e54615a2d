import { type Span, SpanStatusCode } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { FacetError } from '../../src/errors.ts'
import type { Call, Telemetry } from '../../src/route/options.ts'
import { router } from '../../src/route/router.ts'
import { actor, fails, says } from './simulation.ts'

it('bridges to OpenTelemetry as docs/client.md shows: one span a call, one event an attempt', async () => {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const tracer = provider.getTracer('gemfacet')
  const spans = new WeakMap<Call, Span>()
  const telemetry: Telemetry = {
    callStarted(call) {
      spans.set(call, tracer.startSpan('chat', { attributes: { 'gen_ai.operation.name': 'chat' } }))
    },
    attemptEnded(call, { backend, reason, outcome, durationMs }) {
      spans.get(call)!.addEvent('attempt', { backend, reason, outcome, duration_ms: durationMs })
    },
    callEnded(call, { error, usage }) {
      const span = spans.get(call)!
      span.setAttribute('gen_ai.usage.input_tokens', usage.promptTokens)
      span.setAttribute('gen_ai.usage.output_tokens', usage.completionTokens)
      if (error) {
        span.recordException(error)
        span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
      }
      span.end()
    },
  }
  const down = actor(
    'edge',
    fails(() => new FacetError('unavailable', 'Down.')),
  )
  const ask = (...backends: Parameters<typeof router>[0] & readonly unknown[]): Promise<unknown> => {
    const gemma = router(backends, { telemetry, random: () => 0 })
    return collect(gemma.chat({ messages: [{ role: 'user', content: 'hi' }] })).catch(() => {})
  }
  await ask(down, actor('cloud', says('cloud')))
  await ask(down)
  const [answered, failed] = exporter.getFinishedSpans()
  expect(answered!.events.map(({ attributes }) => [attributes?.backend, attributes?.outcome])).toEqual([
    ['edge', 'failed'],
    ['cloud', 'answered'],
  ])
  expect(answered!.attributes).toMatchObject({
    'gen_ai.usage.input_tokens': 5,
    'gen_ai.usage.output_tokens': 2,
  })
  expect(answered!.status.code).toBe(SpanStatusCode.UNSET)
  expect(failed!.status.code).toBe(SpanStatusCode.ERROR)
})
