/** Hugging Face's hub and the store it redirects to, played on loopback; what goes wrong is up to the test. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const COMMIT: string = 'c0ffee'.padEnd(40, '0')

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  /** How often this path was asked for before. */
  readonly before: number
}

/** Instead of the usual answer. */
export interface Fault {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** The connection breaks after so many bytes of the usual answer. */
  readonly cutAfter?: number
}

export interface Hub extends AsyncDisposable {
  /** Owner and name. */
  readonly model: string
  readonly url: string
  readonly asked: Asked[]
  /** Of the store that large files are redirected to. */
  readonly store: Asked[]
  /** By path; what a test changes counts at once. */
  readonly files: Map<string, Uint8Array>
  /** What the model's page says of it. */
  readonly about: Record<string, unknown>
  fault: (asked: Asked) => Fault | undefined
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const blobSha1 = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
const isLarge = (path: string): boolean => /\.(?:safetensors|gguf|bin)$/.test(path)

/** One model with these files. */
export async function fakeHub(
  files: Readonly<Record<string, Uint8Array>>,
  model: string = 'google/tiny',
): Promise<Hub> {
  const listed = new Map(Object.entries(files))
  const front = await listen((request, response) => answerFront(hub, storeUrl(), request, response))
  const store = await listen((request, response) => answerStore(hub, request, response))
  const storeUrl = (): string => store.url
  const hub: Hub = {
    model,
    url: front.url,
    asked: front.asked,
    store: store.asked,
    files: listed,
    about: { gated: false, cardData: { license: 'apache-2.0' } },
    fault: () => undefined,
    async [Symbol.asyncDispose]() {
      await Promise.all([front.close(), store.close()])
    },
  }
  return hub
}

type Handler = (request: Asked, response: ServerResponse) => void

/** A server that keeps what it is asked. */
async function listen(handle: Handler) {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const { url: path = '', headers, method = '' } = request
    const before = asked.filter((one) => one.path === path).length
    const one = { method, path, headers, before }
    asked.push(one)
    handle(one, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answerFront(hub: Hub, store: string, asked: Asked, response: ServerResponse): void {
  if (spoilt(hub, asked, response)) return
  const { pathname, searchParams } = new URL(asked.path, hub.url)
  if (pathname.startsWith(`/api/models/${hub.model}/revision/`)) {
    sendJson(response, { _id: '1', id: hub.model, sha: COMMIT, lastModified: 0, ...hub.about })
    return
  }
  if (pathname === `/api/models/${hub.model}/tree/${COMMIT}`) {
    // Two entries a page, the next one's address in a Link header.
    const from = Number(searchParams.get('cursor') ?? 0)
    const all = [...hub.files].map(([path, bytes]) => {
      const oid = blobSha1(bytes)
      const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 130 }
      return { type: 'file', path, size: bytes.length, oid, ...(isLarge(path) && { lfs }) }
    })
    const next = `<${hub.url}${pathname}?cursor=${from + 2}>; rel="next"`
    if (from + 2 < all.length) response.setHeader('link', next)
    sendJson(response, all.slice(from, from + 2))
    return
  }
  const path = decodeURIComponent(pathname.split(`/resolve/${COMMIT}/`)[1] ?? '')
  const bytes = hub.files.get(path)
  if (!bytes) {
    response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end()
  } else if (isLarge(path)) {
    const headers = { 'x-linked-size': bytes.length, 'x-linked-etag': `"${sha256(bytes)}"` }
    response.writeHead(302, { ...headers, location: `${store}/store/${path}?signature=1` }).end()
  } else sendBytes(asked, response, bytes, `"${blobSha1(bytes)}"`)
}

function answerStore(hub: Hub, asked: Asked, response: ServerResponse): void {
  const path = asked.path.split('/store/')[1]!.split('?')[0]!
  const bytes = hub.files.get(path)!
  if (!spoilt(hub, asked, response, bytes)) sendBytes(asked, response, bytes, `"${sha256(bytes)}"`)
}

function spoilt(hub: Hub, asked: Asked, response: ServerResponse, bytes?: Uint8Array): boolean {
  const fault = hub.fault(asked)
  if (!fault) return false
  const { status = 200, headers = {}, body = '', cutAfter } = fault
  if (cutAfter === undefined || !bytes) response.writeHead(status, headers).end(body)
  else {
    const [from] = rangeOf(asked, bytes)
    const head = {
      'content-length': bytes.length - from,
      'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
    }
    response.writeHead(from > 0 ? 206 : 200, head)
    response.write(bytes.subarray(from, from + cutAfter), () => response.destroy())
  }
  return true
}

function rangeOf({ headers }: Asked, bytes: Uint8Array): readonly [from: number, to: number] {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
  return [Number(from ?? 0), to ? Math.min(Number(to) + 1, bytes.length) : bytes.length]
}

/** Whole, or the range that was asked for. */
export function sendBytes(asked: Asked, response: ServerResponse, bytes: Uint8Array, etag: string): void {
  const [from, to] = rangeOf(asked, bytes)
  const headers = { etag, 'accept-ranges': 'bytes', 'content-type': 'application/octet-stream' }
  const other = asked.headers['if-range'] !== undefined && asked.headers['if-range'] !== etag
  if (asked.headers.range === undefined || other) {
    response.writeHead(200, { ...headers, 'content-length': bytes.length })
    response.end(asked.method === 'HEAD' ? undefined : bytes)
  } else if (from >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
  } else {
    const range = `bytes ${from}-${to - 1}/${bytes.length}`
    response.writeHead(206, { ...headers, 'content-range': range, 'content-length': to - from })
    response.end(bytes.subarray(from, to))
  }
}

function sendJson(response: ServerResponse, json: unknown): void {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(json))
}

/** A server of any other kind. */
export async function fakeServer(
  handle: Handler,
): Promise<{ url: string; asked: Asked[] } & AsyncDisposable> {
  const { url, asked, close } = await listen(handle)
  return { url, asked, [Symbol.asyncDispose]: close }
}
