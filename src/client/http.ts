/** `createClient`: a Backend over HTTP for any server that speaks OpenAI's API. No retries here. */
import { changed, type FacetErrorOptions, toFacetError } from '../errors.ts'
import type { Backend, CallOptions, ChatEvent, ChatRequest, ModelSpec, Usage } from '../types.ts'
import { readAnswer, Tally } from './answer.ts'
import { Deadline } from './deadline.ts'
import { type ClientOptions, type Settings, settingsFrom, withTimeouts } from './options.ts'
import { readJson, sender, streamOf } from './transport.ts'
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

  const send = sender(settings)

  const open = (own: CallOptions): Deadline =>
    new Deadline(withTimeouts(settings.timeouts, own.timeouts), own, clock, name)

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

  /** A request whose answer is one JSON document. */
  const ask = async <T>(
    own: CallOptions,
    path: string,
    body: object | undefined,
    read: (json: unknown) => T,
    maxBytes?: number,
  ): Promise<T> => {
    const deadline = open(own)
    try {
      deadline.start('totalMs')
      deadline.start('firstTokenMs')
      return read(await readJson(await send(path, body, deadline), deadline, maxBytes))
    } catch (error) {
      throw finished(error, own.signal)
    } finally {
      deadline.dispose()
    }
  }

  async function embed(input: readonly string[], own: CallOptions = {}): Promise<Float32Array[]> {
    const { model } = settings
    const body = { ...(model !== undefined && { model }), input, encoding_format: 'float' }
    const read = (json: unknown): Float32Array[] => embeddingsFrom(json, input.length)
    return input.length === 0 ? [] : ask(own, '/embeddings', body, read, MAX_EMBEDDING_BYTES * input.length)
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

  return { name, model, chat, embed, models: (own = {}) => ask(own, '/models', undefined, modelsFrom) }
}

/** True for a cause that can be printed: nothing of its chain holds a secret. */
function isClean(cause: unknown, hide: (text: string) => string): boolean {
  for (let link = cause; link !== undefined; link = link instanceof Error ? link.cause : undefined) {
    const text = link instanceof Error ? `${link.message}\n${link.stack}` : String(link)
    if (hide(text) !== text) return false
  }
  return cause !== undefined
}
