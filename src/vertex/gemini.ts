/** `gemfacet/vertex/gemini`: Gemini, and tuned endpoints with Gemini's schema, through @google-cloud/vertexai. */
import type { GenerativeModel, VertexInit } from '@google-cloud/vertexai'
import { Tally } from '../client/answer.ts'
import { type Clock, Deadline, systemClock } from '../client/deadline.ts'
import { TIMEOUTS, withTimeouts } from '../client/options.ts'
import { refusalFrom, toError } from '../client/response-error.ts'
import { FacetError } from '../errors.ts'
import type { Backend, CallOptions, ChatEvent, ChatRequest, Timeouts, TokenSource } from '../types.ts'
import { contentFrom, reasonFrom, toGemini, usageFrom } from './gemini-wire.ts'

export interface GeminiOptions {
  readonly project: string
  /** For example `us-central1`. */
  readonly location: string
  /** A model such as `gemini-2.5-pro`, or `projects/…/locations/…/endpoints/ID` of a tuned one. */
  readonly model: string
  /** Default: application-default credentials, which the library finds by itself. */
  readonly auth?: TokenSource
  /** Host, with a port or without, instead of Google's. */
  readonly apiEndpoint?: string
  /** What errors call it. Default: the model. */
  readonly name?: string
  readonly timeouts?: Partial<Timeouts>
  readonly clock?: Clock
}

/**
 * A Backend, for example the judge of an evaluation. Node.js only; the library is loaded at the first call.
 * It cannot cancel a request: an answer that is left goes on at Google until it is finished.
 *
 * @throws FacetError invalid_request, with the option at fault
 */
export function createGemini(options: GeminiOptions): Backend {
  const { name = options.model, clock = systemClock } = options
  for (const field of ['project', 'location', 'model'] as const) {
    if (typeof options[field] === 'string' && options[field] !== '') continue
    throw new FacetError('invalid_request', `${field} must be a text that is not empty.`, { field })
  }
  let loaded: Promise<GenerativeModel> | undefined

  async function* chat(request: ChatRequest, own: CallOptions = {}): AsyncGenerator<ChatEvent> {
    const timeouts = withTimeouts(withTimeouts(TIMEOUTS, options.timeouts), own.timeouts)
    const deadline = new Deadline(timeouts, own, clock, name)
    const tally = new Tally(request)
    let begun = false
    try {
      deadline.signal.throwIfAborted()
      deadline.start('totalMs')
      deadline.start('firstTokenMs')
      loaded ??= load(options)
      const body = toGemini(request)
      const model = await deadline.wait(loaded)
      const { stream, response } = await deadline.wait(model.generateContentStream(body))
      // The stream reports the same failure.
      response.catch(() => {})
      const pieces = stream[Symbol.asyncIterator]()
      let calls = 0
      let reason: ReturnType<typeof reasonFrom>
      for (;;) {
        const { done, value } = await deadline.wait(pieces.next())
        if (done) break
        tally.reported = usageFrom(value) ?? tally.reported
        const events = contentFrom(value, calls)
        reason ??= reasonFrom(value)
        for (const event of events) {
          deadline.stop('firstTokenMs')
          deadline.stop('idleMs')
          if (!begun) yield { type: 'start', id: '', model: options.model, backend: name }
          begun = true
          tally.add(event)
          if (event.type === 'tool') calls++
          yield event
        }
        if (begun) deadline.start('idleMs')
      }
      if (!reason) throw new FacetError('bad_response', 'Gemini ended its answer without a finish reason.')
      if (!begun) yield { type: 'start', id: '', model: options.model, backend: name }
      yield { type: 'finish', reason: calls ? 'tool_calls' : reason, usage: tally.usage }
    } catch (error) {
      throw failed(error, begun, name)
    } finally {
      deadline.dispose()
    }
  }

  return { name, model: { id: options.model }, chat }
}

async function load({
  project,
  location,
  model,
  auth,
  apiEndpoint,
}: GeminiOptions): Promise<GenerativeModel> {
  const { VertexAI } = await import('@google-cloud/vertexai').catch((cause: unknown) => {
    throw new FacetError(
      'unsupported',
      'Gemini needs the package @google-cloud/vertexai; run npm install @google-cloud/vertexai.',
      { cause },
    )
  })
  // All that the library asks of its auth client is this one method.
  const authClient = auth && { getAccessToken: async () => ({ token: await auth.token() }) }
  const vertex = new VertexAI({
    project,
    location,
    ...(apiEndpoint !== undefined && { apiEndpoint }),
    ...(authClient && {
      googleAuthOptions: { authClient } as unknown as NonNullable<VertexInit['googleAuthOptions']>,
    }),
  })
  return vertex.getGenerativeModel({ model })
}

/** The library's errors hold the status in prose, and the cause beside it. */
function failed(error: unknown, begun: boolean, backend: string): FacetError {
  const known = error instanceof FacetError ? error : fromLibrary(error)
  const { message, field, cause } = known
  const code = begun && known.code === 'bad_response' ? 'stream_interrupted' : known.code
  return new FacetError(code, message, {
    backend,
    status: known.status,
    ...(field !== undefined && { field }),
    ...(cause !== undefined && { cause }),
  })
}

function fromLibrary(error: unknown): FacetError {
  const text = error instanceof Error ? error.message : String(error)
  const inner: unknown = error instanceof Error && 'stackTrace' in error ? error.stackTrace : undefined
  // What our own TokenSource threw.
  if (inner instanceof FacetError) return inner
  const status = /got status: (\d{3})/.exec(text)?.[1]
  if (status !== undefined) {
    const refusal = refusalFrom(bodyIn(text), Number(status))
    return toError(refusal, refusal.message ?? `Vertex AI answered ${status}.`, {})
  }
  if (/exception posting request/.test(text)) {
    return new FacetError('connection_failed', 'Could not reach Vertex AI; check location and the network.')
  }
  if (error instanceof Error && error.name === 'GoogleAuthError') {
    return new FacetError(
      'unauthorized',
      'There are no Google credentials here; give auth, or run gcloud auth application-default login.',
    )
  }
  return new FacetError('bad_response', 'Vertex AI sent an answer that could not be read.', { cause: error })
}

/** The library appends the body to its message. */
function bodyIn(text: string): unknown {
  try {
    return JSON.parse(text.slice(text.indexOf('. {') + 2))
  } catch {
    // The status has to do.
    return undefined
  }
}
