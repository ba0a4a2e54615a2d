/** Models in Google Cloud Storage, by its JSON API. */
import { FacetError } from '../errors.ts'
import type { TokenSource } from '../types.ts'
import { hashOfList, type Listing, type RemoteFile, type Site, toHex } from './listing.ts'
import type { Web } from './web.ts'

const API = 'https://storage.googleapis.com'

/** @param tokens whoever asks; undefined: nobody, which is enough for public buckets */
export function gcs(
  web: Web,
  bucket: string,
  prefix: string,
  tokens: () => Promise<TokenSource | undefined>,
  endpoint: string = API,
): Site {
  const label = `gs://${bucket}/${prefix}`
  let source: Promise<TokenSource | undefined> | undefined
  const base = `${endpoint}/storage/v1/b/${encodeURIComponent(bucket)}/o`
  const site: Site = {
    async headers() {
      source ??= tokens()
      const token = await (await source)?.token(web.signal)
      return token ? { authorization: `Bearer ${token}` } : {}
    },
    refused(status) {
      const who = 'the account needs the role Storage Object Viewer on the bucket'
      if (status === 401) {
        const problem = `${label} is not public; run gcloud auth application-default login, and ${who}.`
        return new FacetError('unauthorized', problem, { field: 'GOOGLE_APPLICATION_CREDENTIALS' })
      }
      if (status === 403) return new FacetError('forbidden', `${label} may not be read; ${who}.`)
      if (status === 404) return new FacetError('not_found', `There is no ${label}; check bucket and path.`)
      return undefined
    },
    async list(): Promise<Listing> {
      const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`
      const files: RemoteFile[] = []
      let page = ''
      do {
        const query = new URLSearchParams({ prefix: folder, ...(page && { pageToken: page }) })
        const json = (await web.json(`${base}?${query}`, site, label)) as Page
        for (const item of json.items ?? []) {
          const path = item.name.slice(folder.length)
          if (path !== '' && !path.endsWith('/')) files.push(toFile(item, path, base))
        }
        page = json.nextPageToken ?? ''
      } while (page)
      if (files.length === 0) throw new FacetError('not_found', `${label} holds no files; check the path.`)
      return {
        label,
        folder: `gs--${bucket}--${hashOfList([folder])}`,
        revision: hashOfList(files.map(({ blob }) => blob)),
        files,
      }
    },
  }
  return site
}

interface Page {
  readonly items?: readonly Item[]
  readonly nextPageToken?: string
}

interface Item {
  readonly name: string
  readonly size: string
  /** Base64; composed objects have none. */
  readonly md5Hash?: string
  readonly generation: string
}

function toFile({ name, size, md5Hash, generation }: Item, path: string, base: string): RemoteFile {
  const url = `${base}/${encodeURIComponent(name)}?${new URLSearchParams({ alt: 'media', generation })}`
  return {
    path,
    url,
    sizeBytes: Number(size),
    blob: hashOfList([name, generation, size]),
    ...(md5Hash && { digest: { algorithm: 'md5', hex: toHex(md5Hash) } }),
  }
}
