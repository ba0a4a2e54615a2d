/** One streamed answer: bytes in, honest events out. Complete means that a finish_reason was seen. */
import { FacetError } from '../errors.ts'
import type { ChatEvent, FinishReason, Prompt, Usage } from '../types.ts'
import type { Deadline } from './deadline.ts'
import { carriesError, refusalFrom, toError } from './response-error.ts'
import { SseParser } from './sse.ts'
import { type Chunk, chunkFrom } from './wire.ts'

/** After finish_reason only the usage is missing, which is not worth a longer wait. */
const TRAILER_MS = 2000

/** Tokens of one answer, by the server's count or, until it gives one, by an estimate. */
export class Tally {
  reported: Usage | undefined
  readonly #promptTokens: number
  #pieces = 0
  #chars = 0

  constructor(request: Prompt) {
    this.#promptTokens = tokensOf(request)
  }

  add(event: ChatEvent): void {
    this.#pieces++
    if (event.type === 'text') this.#chars += event.text.length
    if (event.type === 'tool') this.#chars += event.arguments.length
  }

  /** Whether there was content. */
  get begun(): boolean {
    return this.#pieces > 0
  }

  get usage(): Usage {
    if (this.reported) return this.reported
    // Servers send a token or more in each piece, and a token is about four characters of English.
    const completionTokens = Math.max(this.#pieces, Math.ceil(this.#chars / 4))
    return { promptTokens: this.#promptTokens, completionTokens, estimated: true }
  }
}

/** Two answers' tokens together. */
export function plus(a: Usage, b: Usage): Usage {
  const cachedTokens = (a.cachedTokens ?? 0) + (b.cachedTokens ?? 0)
  return {
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    ...(cachedTokens > 0 && { cachedTokens }),
    ...((a.estimated || b.estimated) && { estimated: true }),
  }
}

/** An estimate where only the model's tokenizer would know: four characters of English to a token. */
export function tokensOf({ messages, prompt }: Prompt): number {
  if (typeof prompt === 'object') return prompt.length
  const text = prompt ?? (messages ?? []).map(({ content }) => content).join('\n')
  return Math.ceil(text.length / 4)
}

/**
 * Reads the body of a streamed answer. `start` is held until the first content, so that an error
 * before it has delivered nothing.
 *
 * @param fallback what `start` says where the server does not
 * @throws FacetError what the server sent, or stream_interrupted after content; before it bad_response or connection_failed
 */
export async function* readAnswer(
  body: ReadableStream<Uint8Array>,
  deadline: Deadline,
  tally: Tally,
  fallback: { readonly model: string; readonly backend: string },
): AsyncGenerator<ChatEvent> {
  let begun = false
  let reason: FinishReason | undefined
  let id = ''
  let model = ''
  const start = (): ChatEvent => {
    begun = true
    return { type: 'start', id, model: model || fallback.model, backend: fallback.backend }
  }
  try {
    for await (const chunk of readChunks(body, deadline)) {
      id ||= chunk.id ?? ''
      model ||= chunk.model ?? ''
      tally.reported = chunk.usage ?? tally.reported
      for (const event of chunk.content) {
        // The clocks rest while the caller works on what it was given.
        deadline.stop('firstTokenMs')
        deadline.stop('idleMs')
        if (!begun) yield start()
        tally.add(event)
        yield event
      }
      reason ??= chunk.reason
      if (reason) deadline.stop('firstTokenMs')
      if (reason) deadline.start('idleMs', TRAILER_MS)
      else if (chunk.content.length) deadline.start('idleMs')
    }
  } catch (error) {
    const aborted = error instanceof FacetError && error.code === 'aborted'
    // With a finish_reason the answer is whole; what broke was the way to its usage.
    if (!reason || aborted) throw begun ? afterContent(error) : beforeContent(error)
  }
  if (!reason) {
    throw begun
      ? new FacetError('stream_interrupted', 'The answer ended before it was complete (no finish_reason).')
      : new FacetError('bad_response', 'The server ended the stream without an answer.')
  }
  if (!begun) yield start()
  yield { type: 'finish', reason, usage: tally.usage }
}

/** Chunks until `[DONE]` or the end; the body is cancelled however the loop is left. */
async function* readChunks(
  body: ReadableStream<Uint8Array>,
  deadline: Deadline,
): AsyncGenerator<Chunk, void, undefined> {
  const parser = new SseParser()
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await deadline.wait(reader.read())
      if (done) return
      for (const { event, data } of parser.push(value)) {
        if (data === '[DONE]') return
        const json = parse(data)
        if (event === 'error' || carriesError(json)) {
          const refusal = refusalFrom(json)
          throw toError(refusal, refusal.message ?? 'The server sent an error without saying which.')
        }
        yield chunkFrom(json)
      }
    }
  } finally {
    // Not awaited: a stalled body may never answer. It rejects only where the stream has failed,
    // which the read above has reported.
    reader.cancel().catch(() => {})
  }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch (cause) {
    throw new FacetError('bad_response', 'The server sent a chunk that is not valid JSON.', { cause })
  }
}

function beforeContent(error: unknown): FacetError {
  if (error instanceof FacetError) return error
  return new FacetError('connection_failed', 'The connection broke before the first content.', {
    cause: error,
  })
}

function afterContent(error: unknown): FacetError {
  if (!(error instanceof FacetError)) {
    const message = 'The connection broke in the middle of the answer.'
    return new FacetError('stream_interrupted', message, { cause: error })
  }
  // Nonsense after content: asking again would say the delivered part twice.
  return error.code === 'bad_response'
    ? new FacetError('stream_interrupted', error.message, { cause: error })
    : error
}
