/** From a server into the cache, and from there, or on the way, into a directory. */
import { stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { FacetError } from '../errors.ts'
import { formatBytes } from '../gemma/memory-plan.ts'
import type { ModelCache } from './cache.ts'
import type { Choice } from './choose.ts'
import { convertFrom, sizesOf } from './convert-from.ts'
import { Download } from './download.ts'
import { copyTo } from './from-folder.ts'
import type { Listing, RemoteFile, Site } from './listing.ts'
import type { Pulled, PullOptions } from './options.ts'
import type { Web } from './web.ts'

/**
 * Downloads what the cache lacks; copies it to `out`, or converts it there while it comes.
 *
 * @throws FacetError as pull does
 */
export async function toCache(
  cache: ModelCache,
  listing: Listing,
  choice: Choice,
  web: Web,
  site: Site,
  out: string | undefined,
  options: PullOptions,
): Promise<Pulled> {
  await cache.prepare()
  await checkSpace(cache, listing.files)
  const snapshot = cache.snapshot(listing.revision)
  const download = new Download(listing, cache, options.quant ? undefined : options.onProgress)
  const fetched = download.run(web, site, options.concurrency).then(async () => {
    for (const file of listing.files) await cache.link(listing.revision, file)
    if (listing.ref) await cache.setRef(listing.ref, listing.revision)
  })
  const about = { dir: out ?? snapshot, label: listing.label, revision: listing.revision }
  if (!options.quant) {
    await fetched
    if (out) await copyTo(snapshot, listing.files, out, options.force ?? false)
    return { ...about, ...sizesOf(listing.files), warnings: [] }
  }
  const source = download.source(async () => {
    await fetched
    // Bytes that were used had to be fetched again: what was made of them does not count.
    if (download.restarted) throw new FacetError('bad_response', `${listing.label} was not read whole.`)
  })
  const converted = convertFrom(source, out!, choice, listing, options)
  // A checkpoint that cannot be converted need not come to its end.
  converted.catch((reason: unknown) => download.restarted || download.stop(reason))
  const [done, made] = await Promise.allSettled([fetched, converted])
  if (made.status === 'fulfilled') return { ...about, ...made.value }
  if (done.status === 'rejected') throw done.reason
  if (!download.restarted) throw made.reason
  return { ...about, ...(await convertFrom(localSource(snapshot, choice), out!, choice, listing, options)) }
}

/** The snapshot, or the file in it that holds the weights. */
function localSource(dir: string, { file }: Choice): string {
  return file === undefined ? dir : join(dir, file)
}

/** Before the first byte, as an hour of downloading should not end with a full disk. */
async function checkSpace(cache: ModelCache, files: readonly RemoteFile[]): Promise<void> {
  let needed = 0
  for (const file of files) {
    if (await cache.has(file)) continue
    const begun = await stat(cache.partial(file)).catch(() => undefined)
    needed += Math.max(0, (file.sizeBytes ?? 0) - (begun?.size ?? 0))
  }
  const { bavail, bsize } = await statfs(cache.root)
  if (bavail * bsize >= needed) return
  const problem = `${cache.root} needs ${formatBytes(needed)} more, but its disk has only ${formatBytes(bavail * bsize)} free; free some space, set HF_HOME to another disk, or use --stream.`
  throw new FacetError('io_failed', problem, { field: 'out' })
}
