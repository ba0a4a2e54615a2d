/** Models at a plain address: one file, or a folder whose files have the usual names. */
import { COPIED_FILES, parseJson } from '../convert/checkpoint-files.ts'
import { INDEX_FILE, SINGLE_FILE } from '../convert/safetensors.ts'
import { FacetError } from '../errors.ts'
import { MANIFEST_FILE, parseManifest } from '../gemma/manifest.ts'
import { describe } from './describe.ts'
import { hashOfList, type Listing, type RemoteFile, type Site } from './listing.ts'
import type { Web } from './web.ts'

const KNOWN = [MANIFEST_FILE, ...COPIED_FILES, INDEX_FILE, SINGLE_FILE]

/** @param address of a file, or of a folder: then it ends with a slash, or the files are tried below it */
export function webFolder(web: Web, address: string): Site {
  const url = new URL(address)
  const last = decodeURIComponent(url.pathname.split('/').at(-1)!)
  const one = /\.\w+$/.test(last) && !/[/\\:]/.test(last)
  const site: Site = {
    headers: async () => ({}),
    refused: () => undefined,
    async list(): Promise<Listing> {
      const files = one ? [at(last, address)] : await folder(web, site, url)
      const described = await Promise.all(files.map((file) => describe(web, site, file)))
      const revision = hashOfList(described.map(({ path, blob }) => `${path} ${blob}`))
      return {
        label: address,
        folder: `web--${url.host.replace(':', '-')}--${hashOfList([address])}`,
        revision,
        files: described,
      }
    },
  }
  return site
}

async function folder(web: Web, site: Site, url: URL): Promise<RemoteFile[]> {
  const base = url.href.endsWith('/') ? url.href : `${url.href}/`
  const address = (path: string): string =>
    new URL(path.split('/').map(encodeURIComponent).join('/'), base).href
  const manifest = await tryJson(web, site, address(MANIFEST_FILE), MANIFEST_FILE)
  if (manifest !== undefined) {
    // A model directory of ours says itself what it holds, and how each file is hashed.
    const files = parseManifest(manifest).files.map(({ path, sizeBytes, sha256 }): RemoteFile => {
      const digest = { algorithm: 'sha256', hex: sha256 } as const
      return { path, url: address(path), sizeBytes, digest, blob: sha256 }
    })
    return [...files, at(MANIFEST_FILE, address(MANIFEST_FILE))]
  }
  const index = await tryJson(web, site, address(INDEX_FILE), INDEX_FILE)
  const shards = Object.values(
    (index as { weight_map?: Record<string, unknown> } | undefined)?.weight_map ?? {},
  )
  const names = new Set([...KNOWN, ...shards.filter((shard) => typeof shard === 'string')])
  const found = await Promise.all(
    [...names].map(async (name) => {
      const there = await exists(web, site, address(name), name)
      return there ? at(name, address(name)) : undefined
    }),
  )
  const files = found.filter((file) => file !== undefined)
  if (files.length > 0) return files
  const problem = `${url.href} holds neither ${MANIFEST_FILE} nor a checkpoint's files; give the address of a folder that does, or of a file.`
  throw new FacetError('not_found', problem, { field: 'name' })
}

function at(path: string, url: string): RemoteFile {
  return { path, url, sizeBytes: undefined, blob: hashOfList([url]) }
}

async function tryJson(web: Web, site: Site, url: string, name: string): Promise<unknown> {
  const response = await orMissing(web.get(url, site, name))
  if (!response) return undefined
  return parseJson(name, new Uint8Array(await response.arrayBuffer()))
}

async function exists(web: Web, site: Site, url: string, name: string): Promise<boolean> {
  return (await orMissing(web.get(url, site, name, { method: 'HEAD' }))) !== undefined
}

async function orMissing(asked: Promise<Response>): Promise<Response | undefined> {
  return asked.catch((error: unknown) => {
    if (error instanceof FacetError && error.code === 'not_found') return undefined
    throw error
  })
}
