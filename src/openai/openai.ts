/** `gemfacet/openai`: the official package's surface over any Backend; code moves by changing the import. */
import { createClient } from '../client/http.ts'
import type { AnswerOptions } from '../edge/answer.ts'
import { answer } from '../edge/answer.ts'
import type { Call } from '../edge/call.ts'
import { toChatCall } from '../edge/chat-request.ts'
import { chatWriter } from '../edge/chat-response.ts'
import { type CompletionCall, toCompletionCall } from '../edge/completion-request.ts'
import { completionWriter } from '../edge/completion-response.ts'
import { toEchoes } from '../edge/echo.ts'
import { toEmbeddingCall, toEmbeddings } from '../edge/embeddings.ts'
import { Exchange } from '../edge/exchange.ts'
import { findBackend, toModel } from '../edge/models.ts'
import { abortedError, FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'
import { chunksOf, Stream } from './stream.ts'
import type * as Wire from './wire.ts'

export { FacetError as APIError } from '../errors.ts'
export { Stream } from './stream.ts'
export type * from './wire.ts'

export interface OpenAIOptions {
  /** What answers: a router, an engine, any Backend. Whatever model is asked for, it answers. */
  readonly backend?: Backend
  /** Several, told apart by their models' ids. */
  readonly backends?: readonly Backend[]
  /** Or the address of a server, as with the official package. */
  readonly baseURL?: string | null
  readonly apiKey?: string | null
  /** Milliseconds for a whole answer. */
  readonly timeout?: number
  readonly fetch?: typeof globalThis.fetch
}

export interface RequestOptions {
  readonly signal?: AbortSignal | null
  /** Milliseconds for the whole answer. */
  readonly timeout?: number
}

/** Asked for with `stream: true`. */
export type Streaming = { readonly stream: true }
export type Whole = { readonly stream?: false | null }

interface Writing<C extends Call> {
  readonly prefix: string
  readonly toCall: (json: unknown) => C
  readonly writerFor: (call: C, backend: Backend, signal: AbortSignal) => Promise<AnswerOptions['writer']>
}

const CHAT: Writing<Call> = { prefix: 'chatcmpl', toCall: toChatCall, writerFor: async () => chatWriter }

const COMPLETION: Writing<CompletionCall> = {
  prefix: 'cmpl',
  toCall: toCompletionCall,
  async writerFor(call, backend, signal) {
    const echoes = await toEchoes(call, backend, signal)
    return (head, settings) => completionWriter(head, settings, echoes)
  },
}

/**
 * `chat.completions`, `completions`, `embeddings` and `models` of the official client. Errors are
 * FacetErrors, with the official names `status` and `code`, and `OpenAI.APIError` is their class. There are
 * no retries here: give it a router.
 *
 * @throws FacetError invalid_request without a backend or an address
 */
export class OpenAI {
  static readonly APIError: typeof FacetError = FacetError
  readonly #backends: readonly Backend[]
  /** A server behind an address knows its models better than we do. */
  readonly #passesModel: boolean
  readonly #timeoutMs: number | undefined

  constructor(options: OpenAIOptions) {
    const { backend, backends, baseURL, apiKey, timeout, fetch } = options
    this.#passesModel = typeof baseURL === 'string'
    this.#timeoutMs = timeout
    if (this.#passesModel) {
      const client = createClient({ baseURL: baseURL!, ...(apiKey && { apiKey }), ...(fetch && { fetch }) })
      this.#backends = [client]
    } else {
      this.#backends = backend ? [backend] : (backends ?? [])
    }
    if (this.#backends.length === 0) {
      throw new FacetError(
        'invalid_request',
        'backend is missing; give a Backend, or the baseURL of a server.',
        {
          field: 'backend',
        },
      )
    }
  }

  readonly chat = {
    completions: {
      create: ((body: Wire.ChatCompletionCreateParams, options?: RequestOptions) =>
        this.#create(body, options, CHAT)) as Create<
        Wire.ChatCompletionCreateParams,
        Wire.ChatCompletion,
        Wire.ChatCompletionChunk
      >,
    },
  }

  readonly completions = {
    create: ((body: Wire.CompletionCreateParams, options?: RequestOptions) =>
      this.#create(body, options, COMPLETION)) as Create<
      Wire.CompletionCreateParams,
      Wire.Completion,
      Wire.Completion
    >,
  }

  readonly embeddings = {
    create: (
      body: Wire.EmbeddingCreateParams,
      options?: RequestOptions,
    ): Promise<Wire.CreateEmbeddingResponse> => this.#embed(body, options),
  }

  readonly models = {
    /** Await it for the whole list, or loop over it. */
    list: (): ModelList => {
      const list = async (): Promise<{ object: 'list'; data: Wire.Model[] }> => ({
        object: 'list',
        data: this.#backends.map((backend) => toModel(backend) as Wire.Model),
      })
      const asked = list()
      return Object.assign(asked, {
        async *[Symbol.asyncIterator]() {
          yield* (await asked).data
        },
      })
    },
    retrieve: async (id: string): Promise<Wire.Model> =>
      toModel(findBackend(this.#backends, id)) as Wire.Model,
  }

  async #create<C extends Call>(
    body: object,
    options: RequestOptions = {},
    { prefix, toCall, writerFor }: Writing<C>,
  ): Promise<unknown> {
    // As it would arrive over a wire: without what is undefined.
    const call = toCall(JSON.parse(JSON.stringify(body)))
    const backend = this.#find(call.model)
    const { control, signal } = this.#signals(options)
    const asked =
      this.#passesModel && call.model !== undefined
        ? { ...call, requests: call.requests.map((request) => ({ ...request, model: call.model! })) }
        : call
    const response = await answer(asked, {
      backend,
      prefix,
      writer: await writerFor(call, backend, signal),
      signal,
      exchange: new Exchange({
        id: '',
        method: 'POST',
        path: '',
        now: () => performance.now(),
        keepsContent: false,
      }),
      report: () => {},
    }).catch((error: unknown) => {
      throw signal.aborted ? abortedError(signal) : error
    })
    return call.stream ? new Stream(() => chunksOf(response.body!), control) : response.json()
  }

  async #embed(
    body: Wire.EmbeddingCreateParams,
    options: RequestOptions = {},
  ): Promise<Wire.CreateEmbeddingResponse> {
    const call = toEmbeddingCall(JSON.parse(JSON.stringify(body)))
    const response = await toEmbeddings(call, this.#find(call.model), this.#signals(options).signal)
    return response.json()
  }

  #find(model: string | undefined): Backend {
    return this.#backends.length === 1 ? this.#backends[0]! : findBackend(this.#backends, model)
  }

  #signals({ signal, timeout = this.#timeoutMs }: RequestOptions): {
    control: AbortController
    signal: AbortSignal
  } {
    const control = new AbortController()
    const signals = [control.signal, signal, timeout === undefined ? undefined : AbortSignal.timeout(timeout)]
    return { control, signal: AbortSignal.any(signals.filter((one) => one instanceof AbortSignal)) }
  }
}

/** `create` as the official client types it: a stream where `stream` is true. */
export interface Create<Params, Result, Chunk> {
  (body: Params & Whole, options?: RequestOptions): Promise<Result>
  (body: Params & Streaming, options?: RequestOptions): Promise<Stream<Chunk>>
  (body: Params, options?: RequestOptions): Promise<Result | Stream<Chunk>>
}

export type ModelList = Promise<{ object: 'list'; data: Wire.Model[] }> & AsyncIterable<Wire.Model>

export default OpenAI
