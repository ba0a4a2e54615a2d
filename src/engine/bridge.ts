/** A Backend on the other side of a MessagePort: its calls, their events, aborts and errors. */
import { abortedError, FacetError, type FacetErrorOptions, isErrorCode, toFacetError } from '../errors.ts'
import type {
  Backend,
  BackendStats,
  CallOptions,
  ChatEvent,
  ChatRequest,
  ModelSpec,
  ScoreRequest,
  TokenLogprob,
} from '../types.ts'
import { EventQueue } from './event-queue.ts'

/** A FacetError as plain data; structured cloning would lose its class and fields. */
export interface WireError {
  readonly code: string
  readonly message: string
  readonly options: Omit<FacetErrorOptions, 'cause'>
}

type Call =
  | {
      readonly type: 'chat'
      readonly call: number
      readonly request: ChatRequest
      readonly timeouts: CallOptions['timeouts']
    }
  | {
      readonly type: 'score'
      readonly call: number
      readonly request: ScoreRequest
      readonly timeouts: CallOptions['timeouts']
    }
  | { readonly type: 'stats'; readonly call: number }
  | { readonly type: 'cancel'; readonly call: number }

type Reply =
  | {
      readonly type: 'hello'
      readonly name: string
      readonly model: ModelSpec
      readonly scores: boolean
      readonly counts: boolean
    }
  | { readonly type: 'event'; readonly call: number; readonly event: ChatEvent }
  | { readonly type: 'end'; readonly call: number }
  | { readonly type: 'scores'; readonly call: number; readonly scores: TokenLogprob[][] }
  | { readonly type: 'stats'; readonly call: number; readonly stats: BackendStats }
  | { readonly type: 'error'; readonly call: number; readonly error: WireError }

/** What is waiting for replies to one call. */
interface Caller {
  reply(reply: Exclude<Reply, { type: 'hello' }>): void
  fail(error: FacetError): void
}

/** Answers calls that arrive on the port with a backend. Calls run at the same time. */
export function serveBackend(port: MessagePort, backend: Backend): void {
  const running = new Map<number, AbortController>()
  const send = (reply: Reply): void => port.postMessage(reply)

  const answer = async (call: Exclude<Call, { type: 'cancel' }>): Promise<void> => {
    const controller = new AbortController()
    running.set(call.call, controller)
    try {
      if (call.type === 'stats') {
        if (!backend.stats) throw new FacetError('unsupported', `${backend.name} keeps no figures.`)
        send({ type: 'stats', call: call.call, stats: await backend.stats() })
        return
      }
      const options = {
        signal: controller.signal,
        ...(call.timeouts && { timeouts: call.timeouts }),
      }
      if (call.type === 'score') {
        if (!backend.score) throw new FacetError('unsupported', `${backend.name} cannot score.`)
        send({ type: 'scores', call: call.call, scores: await backend.score(call.request, options) })
        return
      }
      for await (const event of backend.chat(call.request, options)) {
        send({ type: 'event', call: call.call, event })
      }
      send({ type: 'end', call: call.call })
    } catch (error) {
      send({ type: 'error', call: call.call, error: toWireError(error) })
    } finally {
      running.delete(call.call)
    }
  }
  port.addEventListener('message', ({ data }: MessageEvent<Call>) => {
    if (data.type === 'cancel') running.get(data.call)?.abort()
    else void answer(data)
  })
  port.start()
  send({
    type: 'hello',
    name: backend.name,
    model: backend.model,
    scores: backend.score !== undefined,
    counts: backend.stats !== undefined,
  })
}

export interface RemoteBackend extends Backend {
  /** The other side is gone: fails every waiting call, and every later one, with this error. */
  disconnect(error: FacetError): void
}

/** Waits until the other side serves, and is its Backend here. A port that closes fails every call. */
export function connectBackend(port: MessagePort): Promise<RemoteBackend> {
  const callers = new Map<number, Caller>()
  const hello = Promise.withResolvers<RemoteBackend>()
  let calls = 0
  let gone: FacetError | undefined

  const disconnect = (error: FacetError): void => {
    if (gone) return
    gone = error
    hello.reject(error)
    for (const caller of callers.values()) caller.fail(error)
    callers.clear()
    port.close()
  }
  const open = (call: number, caller: Caller, message: Call): void => {
    if (gone) {
      caller.fail(gone)
      return
    }
    callers.set(call, caller)
    try {
      port.postMessage(message)
    } catch (cause) {
      callers.delete(call)
      caller.fail(
        new FacetError('invalid_request', 'The request holds something that is not data.', { cause }),
      )
    }
  }
  const cancel = (call: number): void => {
    if (callers.delete(call)) port.postMessage({ type: 'cancel', call } satisfies Call)
  }

  const chat = (request: ChatRequest, { signal, timeouts }: CallOptions): EventQueue<ChatEvent> => {
    const call = ++calls
    const onAbort = (): void => {
      cancel(call)
      events.abort(abortedError(signal))
    }
    const stop = (): void => signal?.removeEventListener('abort', onAbort)
    const events = new EventQueue<ChatEvent>(() => {
      stop()
      cancel(call)
    })
    const fail = (error: FacetError): void => {
      stop()
      events.fail(error)
    }
    const reply: Caller['reply'] = (message) => {
      if (message.type === 'event') events.push(message.event)
      else if (message.type === 'error') fail(fromWireError(message.error))
      else {
        stop()
        events.end()
      }
    }
    if (signal?.aborted) events.fail(abortedError(signal))
    else {
      signal?.addEventListener('abort', onAbort)
      open(call, { reply, fail }, { type: 'chat', call, request, timeouts })
    }
    return events
  }

  const score = (request: ScoreRequest, { signal, timeouts }: CallOptions): Promise<TokenLogprob[][]> => {
    const call = ++calls
    const { promise, resolve, reject } = Promise.withResolvers<TokenLogprob[][]>()
    if (signal?.aborted) return Promise.reject(abortedError(signal))
    const onAbort = (): void => {
      cancel(call)
      reject(abortedError(signal))
    }
    signal?.addEventListener('abort', onAbort)
    const reply: Caller['reply'] = (message) => {
      if (message.type === 'scores') resolve(message.scores)
      else if (message.type === 'error') reject(fromWireError(message.error))
    }
    open(call, { reply, fail: reject }, { type: 'score', call, request, timeouts })
    return promise.finally(() => signal?.removeEventListener('abort', onAbort))
  }

  const stats = (): Promise<BackendStats> => {
    const call = ++calls
    const { promise, resolve, reject } = Promise.withResolvers<BackendStats>()
    const reply: Caller['reply'] = (message) => {
      if (message.type === 'stats') resolve(message.stats)
      else if (message.type === 'error') reject(fromWireError(message.error))
    }
    open(call, { reply, fail: reject }, { type: 'stats', call })
    return promise
  }

  port.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
    if (data.type === 'hello') {
      hello.resolve({
        name: data.name,
        model: data.model,
        chat: (request: ChatRequest, options: CallOptions = {}): AsyncIterable<ChatEvent> => ({
          [Symbol.asyncIterator]: () => chat(request, options),
        }),
        ...(data.scores && {
          score: (request: ScoreRequest, options: CallOptions = {}) => score(request, options),
        }),
        ...(data.counts && { stats }),
        disconnect,
      })
      return
    }
    const caller = callers.get(data.call)
    if (data.type !== 'event') callers.delete(data.call)
    caller?.reply(data)
  })
  port.addEventListener('close', () => {
    disconnect(new FacetError('unavailable', 'The thread that computes has ended; load the model again.'))
  })
  port.start()
  return hello.promise
}

export function toWireError(error: unknown): WireError {
  const { code, message, status, field, retryAfterMs, backend } = toFacetError(error)
  const options = {
    status,
    ...(field !== undefined && { field }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(backend !== undefined && { backend }),
  }
  return { code, message, options }
}

export function fromWireError({ code, message, options }: WireError): FacetError {
  return new FacetError(isErrorCode(code) ? code : 'internal', message, options)
}
