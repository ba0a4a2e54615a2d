/** Server-sent events as OpenAI sends them: one `data:` line of JSON each, `[DONE]` last. */

const encoder = new TextEncoder()

const toFrame = (data: string): Uint8Array => encoder.encode(`data: ${data}\n\n`)

export interface StreamOptions {
  /** What to send when the source fails; undefined: nobody listens any more. Never followed by `[DONE]`. */
  readonly onError: (error: unknown) => object | undefined
  /** The reader has gone: stop the work. */
  readonly onCancel: () => void
  /** Everything has been handed on, `[DONE]` included. */
  readonly onEnd: () => void
}

/** Takes the next item only when the reader has room for it. */
export function toEventStream(
  source: AsyncGenerator<object, void, undefined>,
  { onError, onCancel, onEnd }: StreamOptions,
): Response {
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await source.next()
        controller.enqueue(toFrame(done ? '[DONE]' : JSON.stringify(value)))
        if (!done) return
        controller.close()
        onEnd()
      } catch (error) {
        const last = onError(error)
        if (last === undefined) return controller.error(error)
        controller.enqueue(toFrame(JSON.stringify(last)))
        controller.close()
      }
    },
    async cancel() {
      onCancel()
      await source.return()
    },
  })
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // nginx would collect the stream otherwise.
      'x-accel-buffering': 'no',
    },
  })
}
