/** One request and what came of it, as plain data: asked alike from a test, a page and a worker. */

export interface Ask {
  readonly path: string
  /** Left out: GET. */
  readonly body?: object
  /** Go away after the first piece of the answer. */
  readonly hangUp?: boolean
}

export interface Told {
  readonly status: number
  readonly type: string
  readonly text: string
  /** Pieces in which the body came. */
  readonly pieces: number
}

export type Transport = (ask: Ask) => Promise<Told>

type Fetch = (url: string, init: RequestInit) => Response | Promise<Response>

export async function ask(fetch: Fetch, origin: string, { path, body, hangUp }: Ask): Promise<Told> {
  const controller = new AbortController()
  const { signal } = controller
  const response = await fetch(
    origin + path,
    body ? { method: 'POST', body: JSON.stringify(body), signal } : {},
  )
  const decoder = new TextDecoder()
  const reader = response.body!.getReader()
  let text = ''
  let pieces = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    text += decoder.decode(value, { stream: true })
    pieces++
    if (!hangUp) continue
    controller.abort()
    await reader.cancel().catch(() => {}) // the abort may have ended it
    break
  }
  return { status: response.status, type: response.headers.get('content-type') ?? '', text, pieces }
}
