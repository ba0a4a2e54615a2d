/** Asks a server for a file's size, ETag and hash where no listing told them. */
import { hashOfList, type RemoteFile, type Site, toHex } from './listing.ts'
import type { Web } from './web.ts'

/** One byte is asked for, as not every server answers HEAD, and its answer says the rest. */
export async function describe(web: Web, site: Site, file: RemoteFile): Promise<RemoteFile> {
  if (file.sizeBytes !== undefined) return file
  const headers = { range: 'bytes=0-0', 'accept-encoding': 'identity' }
  const response = await web.get(file.url, site, file.path, { headers })
  await response.body?.cancel()
  const { headers: answer, status } = response
  const total = /\/(\d+)$/.exec(answer.get('content-range') ?? '')?.[1]
  const size = status === 200 ? answer.get('content-length') : total
  const etag = answer.get('etag') ?? undefined
  const stamp = etag ?? answer.get('last-modified') ?? ''
  // Cloud Storage, from which Kaggle serves, tells the MD5 of what it sends.
  const md5 = /(?:^|[ ,])md5=([\w+/]{22}==)/.exec(answer.get('x-goog-hash') ?? '')?.[1]
  return {
    ...file,
    sizeBytes: size === null || size === undefined ? undefined : Number(size),
    blob: hashOfList([file.url, stamp, size ?? '']),
    ...(etag !== undefined && { etag }),
    ...(md5 && { digest: { algorithm: 'md5', hex: toHex(md5) } }),
  }
}
