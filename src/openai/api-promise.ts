/** What `create` gives: a promise of the answer that also tells the response it came in. */

export interface ApiPromise<T> extends Promise<T> {
  /** The answer, and the response with its status and headers. */
  withResponse(): Promise<{ data: T; response: Response; request_id: string | null }>
  /** The response alone; where a stream was asked for, its body is unread. */
  asResponse(): Promise<Response>
}

export interface Reply<T> {
  readonly data: T
  readonly response: Response
}

export function toApiPromise<T>(reply: Promise<Reply<T>>): ApiPromise<T> {
  const answer = reply.then(({ data }) => data)
  const whole = (): Promise<Reply<T>> => {
    // Its failure is told by what is returned here.
    answer.catch(() => {})
    return reply
  }
  return Object.assign(answer, {
    async withResponse() {
      const { data, response } = await whole()
      return { data, response, request_id: response.headers.get('x-request-id') }
    },
    async asResponse() {
      return (await whole()).response
    },
  })
}

/** Reads a JSON answer, and leaves a response that can still be read. */
export async function toReply<T>(response: Response): Promise<Reply<T>> {
  const text = await response.text()
  const { status, headers } = response
  return { data: JSON.parse(text) as T, response: new Response(text, { status, headers }) }
}
