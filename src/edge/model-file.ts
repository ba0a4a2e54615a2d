/** The model's files as responses, whole or a range, for engines that run in a page of this origin. */
import { readManifest } from '../engine/model-file.ts'
import type { ByteRange, ModelFiles } from '../engine/model-files.ts'
import { FacetError } from '../errors.ts'
import { MANIFEST_FILE } from '../gemma/manifest.ts'

export type { ModelFiles } from '../engine/model-files.ts'

/**
 * Only the manifest and what it names: a directory may hold more than the model.
 *
 * @throws FacetError not_found, and what reading the manifest throws
 */
export async function toModelFile(files: ModelFiles, path: string, request: Request): Promise<Response> {
  const sizeBytes = await sizeOf(files, path)
  const range = rangeOf(request.headers.get('range'), sizeBytes)
  const headers = {
    'content-type': path.endsWith('.json') ? 'application/json' : 'application/octet-stream',
    'accept-ranges': 'bytes',
    // The manifest's sums tell a changed file; nobody between may keep gigabytes.
    'cache-control': 'private, no-cache',
  }
  if (range === 'outside') {
    return new Response(null, {
      status: 416,
      headers: { ...headers, 'content-range': `bytes */${sizeBytes}` },
    })
  }
  const { start, end } = range ?? { start: 0, end: sizeBytes }
  const body = request.method === 'HEAD' ? null : await files.open(path, range)
  return new Response(body as ReadableStream<Uint8Array<ArrayBuffer>> | null, {
    status: range ? 206 : 200,
    headers: {
      ...headers,
      'content-length': String(end - start),
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` }),
    },
  })
}

async function sizeOf(files: ModelFiles, path: string): Promise<number> {
  const named = path === MANIFEST_FILE || (await readManifest(files)).files.some((file) => file.path === path)
  const sizeBytes = named ? await files.size(path) : undefined
  if (sizeBytes !== undefined) return sizeBytes
  throw new FacetError(
    'not_found',
    `The model has no file ${path.slice(0, 200)}; ${MANIFEST_FILE} names those it has.`,
  )
}

/** One range as RFC 9110 writes it. What is written otherwise is ignored, as the RFC allows. */
function rangeOf(header: string | null, sizeBytes: number): ByteRange | 'outside' | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first)
  const end = first === '' || last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1)
  if (first !== '' && last !== '' && Number(last) < start) return undefined
  return start < sizeBytes && start < end ? { start, end } : 'outside'
}
