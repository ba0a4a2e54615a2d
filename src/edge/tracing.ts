/** OpenTelemetry spans by the gen_ai semantic conventions; without an SDK in the process they cost and do nothing. */
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  ProxyTracerProvider,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
} from '@opentelemetry/api'
import { toFacetError } from '../errors.ts'
import { override } from '../guard/layer.ts'
import type { ChatEvent, ChatRequest, Layer } from '../types.ts'
import type { Exchange } from './exchange.ts'

const NAME = 'gemfacet'

const getter: TextMapGetter<Headers> = {
  get: (headers, name) => headers.get(name) ?? undefined,
  keys: (headers) => [...headers.keys()],
}

/** The span this request belongs to: one that is active here, or the caller's by its traceparent header. */
export function parentOf(headers: Headers): Context {
  const active = context.active()
  if (trace.getSpanContext(active)) return active
  const extracted = propagation.extract(active, headers, getter)
  if (trace.getSpanContext(extracted)) return extracted
  // An SDK need not have set a propagator.
  const [, traceId, spanId, flags] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(headers.get('traceparent') ?? '') ?? []
  const parent = {
    traceId: traceId ?? '',
    spanId: spanId ?? '',
    traceFlags: Number.parseInt(flags ?? '0', 16),
  }
  if (!isSpanContextValid(parent)) return ROOT_CONTEXT
  return trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true })
}

/** Undefined outside of any trace. */
export function traceIdOf(parent: Context): string | undefined {
  return trace.getSpanContext(parent)?.traceId
}

/**
 * A span for each answer of the backend, under the request's own, and active while the backend works.
 *
 * @param prompts whether spans may hold what was asked and answered
 */
export function traced(exchange: Exchange, prompts: boolean): Layer {
  if (!isTracing()) return (next) => next
  const { parent } = exchange
  return (next) =>
    override(next, {
      chat: (request, options) => {
        const operation = request.messages ? 'chat' : 'text_completion'
        const span = trace.getTracer(NAME).startSpan(
          `${operation} ${next.model.id}`,
          {
            kind: next.stats ? SpanKind.INTERNAL : SpanKind.CLIENT,
            attributes: toRequestAttributes(request, operation, next.model.id),
          },
          parent,
        )
        if (!span.isRecording()) return next.chat(request, options)
        exchange.traceId = span.spanContext().traceId
        if (prompts) span.setAttribute('gen_ai.input.messages', toInput(request))
        const within = trace.setSpan(parent, span)
        return recorded(within, span, prompts, () => next.chat(request, options))
      },
    })
}

/** Whether an SDK has been registered; a provider of another kind than the API's own is one. */
function isTracing(): boolean {
  const provider = trace.getTracerProvider()
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer(NAME) !== undefined
}

/** Reads the answer with the span active, and ends the span with it. */
async function* recorded(
  within: Context,
  span: Span,
  prompts: boolean,
  chat: () => AsyncIterable<ChatEvent>,
): AsyncGenerator<ChatEvent, void, undefined> {
  const events = context.with(within, () => chat()[Symbol.asyncIterator]())
  let text = ''
  try {
    for (;;) {
      const { done, value }: IteratorResult<ChatEvent> = await context.with(within, () => events.next())
      if (done) return
      if (prompts && value.type === 'text') text += value.text
      if (prompts && value.type === 'finish') {
        span.setAttribute('gen_ai.output.messages', toOutput(text, value.reason))
      }
      note(span, value)
      yield value
    }
  } catch (thrown) {
    const { code, message } = toFacetError(thrown)
    span.setAttribute('error.type', code)
    span.setStatus({ code: SpanStatusCode.ERROR, message })
    throw thrown
  } finally {
    span.end()
    events.return?.().then(undefined, () => undefined)
  }
}

function note(span: Span, event: ChatEvent): void {
  if (event.type === 'start') {
    span.setAttributes({ 'gen_ai.response.id': event.id, 'gen_ai.response.model': event.model })
  }
  if (event.type !== 'finish') return
  const { promptTokens, completionTokens, cachedTokens } = event.usage
  span.setAttributes({
    'gen_ai.response.finish_reasons': [event.reason],
    'gen_ai.usage.input_tokens': promptTokens,
    'gen_ai.usage.output_tokens': completionTokens,
    ...(cachedTokens !== undefined && { 'gen_ai.usage.cache_read.input_tokens': cachedTokens }),
  })
}

function toRequestAttributes(request: ChatRequest, operation: string, model: string): Attributes {
  const { temperature, topP, topK, maxTokens, seed, stop, frequencyPenalty, presencePenalty } = request
  const attributes = {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': NAME,
    'gen_ai.request.model': model,
    'gen_ai.request.temperature': temperature,
    'gen_ai.request.top_p': topP,
    'gen_ai.request.top_k': topK,
    'gen_ai.request.max_tokens': maxTokens,
    'gen_ai.request.seed': seed,
    'gen_ai.request.stop_sequences': stop && [...stop],
    'gen_ai.request.frequency_penalty': frequencyPenalty,
    'gen_ai.request.presence_penalty': presencePenalty,
    'gen_ai.output.type': request.responseFormat?.type.startsWith('json') ? 'json' : 'text',
  }
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}

/** In the shape of the conventions' JSON schema for messages. */
function toInput({ messages, prompt }: ChatRequest): string {
  const all = messages ?? [{ role: 'user', content: typeof prompt === 'string' ? prompt : prompt.join(' ') }]
  return JSON.stringify(all.map(({ role, content }) => ({ role, parts: [{ type: 'text', content }] })))
}

function toOutput(content: string, reason: string): string {
  return JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content }], finish_reason: reason }])
}
