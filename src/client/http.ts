/** `createClient`: a Backend over HTTP for any server that speaks OpenAI's API. No retries here. */
import { changed, FacetError, type FacetErrorOptions, toFacetError } from '../errors.ts'
import type { Backend, CallOptions, ChatEvent, ChatRequest, ModelSpec, Usage } from '../types.ts'
import { readAnswer, Tally } from './answer.ts'
import { Deadline } from './deadline.ts'
import { type ClientOptions, type Settings, settingsFrom, withTimeouts } from './options.ts'
import { carriesError, refusalFrom, retryAfterFrom, toError } from './response-error.ts'
import { embeddingsFrom, modelsFrom } from './wire.ts'
import { toWire } from './wire-request.ts'

export interface ClientCallOptions extends CallOptions {
  /** Called once when the call ends, however it ends, with the tokens spent until then. */
  readonly onUsage?: (usage: Usage) => void
}

/** A Backend behind an address. */
export interface Client extends Backend {
  chat(request: ChatRequest, options?: ClientCallOptions): AsyncIterable<ChatEvent>
  /** Left to the server, which may have no embeddings. */
  embed(texts: readonly string[], options?: CallOptions): Promise<Float32Array[]>
  /** What the server offers, with whatever it says about each model. */
  models(options?: CallOptions): Promise<ModelSpec[]>
}

/** Error bodies are a few hundred bytes, lists of models some kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024
/** Of one text: some thousand numbers of about twenty digits, and what stands around them. */
const MAX_EMBEDDING_BYTES = 256 * 1024

/**
 * A client for one server.
 *
 * A chat throws a FacetError unless the answer is complete: `timeout` where a deadline passed,
 * `stream_interrupted` where it broke after content, `aborted` where the caller's signal says so,
 * the server's own code where it sent one. Messages never hold the key or a header's value.
 *
 * @throws FacetError invalid_request, with the option at fault
 */
export function createClient(options: ClientOptions): Client {
  return clientFrom(settingsFrom(options))
}

/** The client of settings that are checked: for servers whose addresses follow rules of their own. */
export function clientFrom(settings: Settings): Client {
  const { name, clock } = settings
  const model: ModelSpec = { id: settings.model || 'default', ...settings.spec }

  const open = (own: CallOptions): Deadline =>
    new Deadline(withTimeouts(settings.timeouts, own.timeouts), own, clock, name)

  /** Sends, and gives back only answers with a 2xx status. */
  const send = async (path: string, body: object | undefined, deadline: Deadline): Promise<Response> => {
    deadline.signal.throwIfAborted()
    const url = settings.urlOf(path)
    const payload = body && JSON.stringify(body)
    const headers = await deadline.wait(settings.headers(deadline.signal))
    const call = async (): Promise<Response> =>
      settings.fetch(url, {
        method: payload ? 'POST' : 'GET',
        headers,
        ...(payload && { body: payload }),
        // Following would turn a POST into a GET, or carry headers to another host.
        redirect: 'manual',
        signal: deadline.signal,
      })
    const sent = call()
    const response = await deadline.wait(sent).catch((error: unknown) => {
      // Where fetch does not heed its signal: nobody reads what still comes.
      sent.then((late) => late.body?.cancel()).catch(() => {})
      throw deadline.signal.aborted || error instanceof FacetError ? error : unreachable(url, error)
    })
    if (response.status === 401) settings.refused(headers)
    if (!response.ok) throw await refused(url, response, deadline)
    return response
  }

  const refused = async (url: URL, response: Response, deadline: Deadline): Promise<FacetError> => {
    const { status } = response
    const text = await readText(response, deadline).catch((error: unknown) => {
      // The status alone says enough, unless the wait itself was given up.
      if (error instanceof FacetError) throw error
      return ''
    })
    const refusal = refusalFrom(parseOr(text, undefined), status)
    const retryAfterMs = retryAfterFrom(response.headers, clock.now())
    const message = refusal.message ?? `${place(url)} answered ${reasonOf(response)}.`
    return toError(refusal, message, { retryAfterMs })
  }

  async function* chat(request: ChatRequest, own: ClientCallOptions = {}): AsyncGenerator<ChatEvent> {
    const deadline = open(own)
    const tally = new Tally(request)
    let accepted = false
    try {
      deadline.start('totalMs')
      deadline.start('firstTokenMs')
      const wanted = request.model ?? settings.model
      const { path, body } = toWire(request, wanted)
      const response = await send(path, { ...body, ...settings.extraBody }, deadline)
      accepted = true
      const stream = await streamOf(settings.urlOf(path), response, deadline)
      yield* readAnswer(stream, deadline, tally, { model: wanted ?? model.id, backend: name })
    } catch (error) {
      throw finished(error, own.signal, { accepted, ...(tally.begun && { retry: 'never' }) })
    } finally {
      deadline.dispose()
      own.onUsage?.(tally.usage)
    }
  }

  async function embed(texts: readonly string[], own: CallOptions = {}): Promise<Float32Array[]> {
    if (texts.length === 0) return []
    const deadline = open(own)
    try {
      deadline.start('totalMs')
      deadline.start('firstTokenMs')
      const body = { ...(settings.model !== undefined && { model: settings.model }), input: texts }
      const response = await send('/embeddings', { ...body, encoding_format: 'float' }, deadline)
      const text = await readText(response, deadline, MAX_EMBEDDING_BYTES * texts.length)
      return embeddingsFrom(parseOr(text, undefined), texts.length)
    } catch (error) {
      throw finished(error, own.signal)
    } finally {
      deadline.dispose()
    }
  }

  async function models(own: CallOptions = {}): Promise<ModelSpec[]> {
    const deadline = open(own)
    try {
      deadline.start('totalMs')
      deadline.start('firstTokenMs')
      const response = await send('/models', undefined, deadline)
      return modelsFrom(parseOr(await readText(response, deadline), undefined))
    } catch (error) {
      throw finished(error, own.signal)
    } finally {
      deadline.dispose()
    }
  }

  /** Every error leaves through here: named after this server and without secrets. */
  const finished = (
    thrown: unknown,
    signal: AbortSignal | undefined,
    options: FacetErrorOptions = {},
  ): unknown => {
    if (signal?.aborted && thrown === signal.reason) return thrown
    const error = toFacetError(thrown)
    const cause = isClean(error.cause, settings.hide) ? error.cause : undefined
    return changed(error, { ...options, backend: name, cause }, settings.hide(error.message))
  }

  return { name, model, chat, embed, models }
}

/** The body, when it is a stream of events. */
async function streamOf(
  url: URL,
  response: Response,
  deadline: Deadline,
): Promise<ReadableStream<Uint8Array>> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type === 'text/event-stream' && response.body) return response.body
  // Some servers send their errors with status 200.
  const json =
    type === 'application/json' ? parseOr(await readText(response, deadline), undefined) : undefined
  response.body?.cancel().catch(() => {})
  if (carriesError(json)) {
    const refusal = refusalFrom(json)
    throw toError(refusal, refusal.message ?? `${place(url)} answered with an error.`)
  }
  const what = type ? `as ${type}` : 'without a content type'
  const message = `${place(url)} answered ${what} instead of text/event-stream; check baseURL.`
  throw new FacetError('bad_response', message)
}

async function readText(
  response: Response,
  deadline: Deadline,
  maxBytes: number = MAX_BODY_BYTES,
): Promise<string> {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let sizeBytes = 0
  try {
    for (;;) {
      const read = await (reader && deadline.wait(reader.read()))
      if (!read || read.done) return text + decoder.decode()
      sizeBytes += read.value.length
      if (sizeBytes > maxBytes) {
        throw new FacetError('bad_response', `The server sent more than ${maxBytes} bytes of JSON.`)
      }
      text += decoder.decode(read.value, { stream: true })
    }
  } finally {
    // Not awaited: a stalled body may never answer.
    reader?.cancel().catch(() => {})
  }
}

function parseOr<T>(text: string, fallback: T): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return fallback
  }
}

function unreachable(url: URL, cause: unknown): FacetError {
  const inner: unknown = cause instanceof Error ? cause.cause : undefined
  const code = inner instanceof Error && 'code' in inner ? ` (${String(inner.code)})` : ''
  if (/CERT|SIGNED|ALTNAME/.test(code)) {
    const message = `The certificate of ${url.origin} is not trusted${code}; check the address, or trust its authority (NODE_EXTRA_CA_CERTS).`
    return new FacetError('connection_failed', message, { cause })
  }
  const message = `Could not reach ${url.origin}${code}; is the server running there?`
  return new FacetError('connection_failed', message, { cause })
}

function reasonOf(response: Response): string {
  const { status } = response
  if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
    return 'with a redirect; put the final address into baseURL'
  }
  if (status === 404) return '404; check baseURL, which ends before /chat/completions, often in /v1'
  return `${status} without saying why`
}

/** An address as errors show it: a query may hold a key. */
function place(url: URL): string {
  return url.origin + url.pathname
}

/** True for a cause that can be printed: nothing of its chain holds a secret. */
function isClean(cause: unknown, hide: (text: string) => string): boolean {
  for (let link = cause; link !== undefined; link = link instanceof Error ? link.cause : undefined) {
    const text = link instanceof Error ? `${link.message}\n${link.stack}` : String(link)
    if (hide(text) !== text) return false
  }
  return cause !== undefined
}
