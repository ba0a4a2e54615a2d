/** The page's files as responses: types, caching, and what the page may load and do. */
import { FacetError } from '../errors.ts'
import { files } from './page/bundle.gen.ts'

/** Nothing but this origin. WebAssembly and workers are for the engine, should the model run in the page. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': POLICY,
  // Together they isolate the page from other origins, which threads on shared memory require.
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}

/** Chunks are named after what they hold; the others keep their names. */
const cacheFor = (name: string): string =>
  name.startsWith('chunk-') ? 'public, max-age=31536000, immutable' : 'no-cache'

/** @throws FacetError not_found */
export function toPageFile(name: string, request: Request): Response {
  const file = Object.hasOwn(files, name) ? files[name] : undefined
  if (!file) {
    throw new FacetError('not_found', `The page has no file ${name.slice(0, 80)}; reload the page.`)
  }
  const headers = { ...HEADERS, etag: file.etag, 'cache-control': cacheFor(name) }
  if (request.headers.get('if-none-match') === file.etag) return new Response(null, { status: 304, headers })
  return new Response(file.text, { headers: { ...headers, 'content-type': file.type } })
}
