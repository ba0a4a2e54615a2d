/** Model directories where Cloudflare Workers keep files: static assets, R2, or the script itself. */
import { filesFromUrl, type ModelFiles } from '../../engine/model-files.ts'

/** The binding of static assets; each file is at most 25 MiB. */
export interface AssetsBinding {
  fetch(request: Request): Promise<Response>
}

/** What is used of an R2 bucket. */
export interface BucketBinding {
  head(key: string): Promise<{ readonly size: number } | null>
  get(
    key: string,
    options?: { range: { offset: number; length: number } },
  ): Promise<{ readonly body: ReadableStream<Uint8Array> } | null>
}

/** @param directory of the assets, for example `/models/facet-tldr-24m` */
export function filesFromAssets(assets: AssetsBinding, directory: string): ModelFiles {
  // The host is not looked at.
  const base = new URL(directory, 'https://assets.local').href
  return filesFromUrl(base, (input, init) => assets.fetch(new Request(input, init)))
}

/** @param prefix of the keys, for example `models/facet-tldr-24m` */
export function filesFromBucket(bucket: BucketBinding, prefix: string): ModelFiles {
  const root = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`
  return {
    location: `R2:${prefix}`,
    size: async (path) => (await bucket.head(root + path))?.size,
    open: async (path, range) => {
      const options = range && { range: { offset: range.start, length: range.end - range.start } }
      return (await bucket.get(root + path, options))?.body
    },
  }
}

/** @param files what the script imports, by its name in the model directory */
export function filesFromBytes(files: Readonly<Record<string, ArrayBuffer>>): ModelFiles {
  const bytesOf = (path: string): ArrayBuffer | undefined =>
    Object.hasOwn(files, path) ? files[path] : undefined
  return {
    location: 'the script',
    size: async (path) => bytesOf(path)?.byteLength,
    open: async (path, { start, end } = { start: 0, end: Number.POSITIVE_INFINITY }) => {
      const bytes = bytesOf(path)
      return (
        bytes && new Blob([new Uint8Array(bytes, start, Math.min(end, bytes.byteLength) - start)]).stream()
      )
    },
  }
}
