/** One request and its answer: signed in, sent, refused or read, for whoever says what was asked. */
import { FacetError } from '../errors.ts'
import type { Deadline } from './deadline.ts'
import type { Settings } from './options.ts'
import { carriesError, refusalFrom, retryAfterFrom, toError } from './response-error.ts'

/** Error bodies are a few hundred bytes, lists of models some kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024

/** Sends to a path below the base URL; gives back only answers with a 2xx status. */
export type Send = (path: string, body: object | undefined, deadline: Deadline) => Promise<Response>

export function sender(settings: Settings): Send {
  const { clock } = settings

  const refused = async (url: URL, response: Response, deadline: Deadline): Promise<FacetError> => {
    const { status } = response
    const json = await readJson(response, deadline).catch((error: unknown) => {
      // The status alone says enough, unless the wait itself was given up.
      if (error instanceof FacetError) throw error
    })
    const refusal = refusalFrom(json, status)
    const retryAfterMs = retryAfterFrom(response.headers, clock.now())
    const message = refusal.message ?? `${place(url)} answered ${reasonOf(response)}.`
    return toError(refusal, message, { retryAfterMs })
  }

  return async (path, body, deadline) => {
    deadline.signal.throwIfAborted()
    const url = settings.urlOf(path)
    const payload = body && JSON.stringify(body)
    const ask = async (headers: Headers): Promise<Response> => {
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
      return deadline.wait(sent).catch((error: unknown) => {
        // Where fetch does not heed its signal: nobody reads what still comes.
        sent.then(discard).catch(() => {})
        throw deadline.signal.aborted || error instanceof FacetError ? error : unreachable(url, error)
      })
    }
    const sign = (): Promise<Headers> => deadline.wait(settings.headers(deadline.signal))
    const headers = await sign()
    let response = await ask(headers)
    if (response.status === 401 && settings.refused(headers)) {
      // Nothing was accepted, so nothing is done twice; a token refused anew is not the token's fault.
      const renewed = await sign()
      if (renewed.get('authorization') !== headers.get('authorization')) {
        discard(response)
        response = await ask(renewed)
      }
    }
    if (!response.ok) throw await refused(url, response, deadline)
    return response
  }
}

/** The body, when it is a stream of events. */
export async function streamOf(
  url: URL,
  response: Response,
  deadline: Deadline,
): Promise<ReadableStream<Uint8Array>> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type === 'text/event-stream' && response.body) return response.body
  // Some servers send their errors with status 200.
  const json = type === 'application/json' ? await readJson(response, deadline) : undefined
  discard(response)
  if (carriesError(json)) {
    const refusal = refusalFrom(json)
    throw toError(refusal, refusal.message ?? `${place(url)} answered with an error.`)
  }
  const what = type ? `as ${type}` : 'without a content type'
  const message = `${place(url)} answered ${what} instead of text/event-stream; check baseURL.`
  throw new FacetError('bad_response', message)
}

/** Not awaited: a stalled body may never answer. */
function discard({ body }: Response): void {
  body?.cancel().catch(() => {})
}

/** The body as JSON, undefined where it is none. @throws FacetError bad_response where it is too large */
export async function readJson(
  response: Response,
  deadline: Deadline,
  maxBytes: number = MAX_BODY_BYTES,
): Promise<unknown> {
  const text = await readText(response, deadline, maxBytes)
  try {
    return JSON.parse(text)
  } catch {
    // What is missing is told by whoever reads it.
    return undefined
  }
}

async function readText(response: Response, deadline: Deadline, maxBytes: number): Promise<string> {
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
