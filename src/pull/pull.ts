/** Brings a model here: into the cache, into a directory, or converted on its way. */
import { constants } from 'node:fs'
import { copyFile, mkdir, readdir, stat, statfs } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Clock } from '../client/deadline.ts'
import { type ConvertOptions, convert } from '../convert/convert.ts'
import type { FileSource } from '../convert/file-source.ts'
import type { Quant } from '../convert/layout.ts'
import { fillDirectory, toIoError } from '../convert/output.ts'
import { FacetError } from '../errors.ts'
import { formatBytes } from '../gemma/memory-plan.ts'
import type { TokenSource } from '../types.ts'
import { hubCache, ModelCache, ownCache } from './cache.ts'
import { type Choice, chooseFiles } from './choose.ts'
import { describe } from './describe.ts'
import { Download } from './download.ts'
import { gcs } from './gcs.ts'
import { hub } from './hub.ts'
import { kaggle } from './kaggle.ts'
import type { Listing, RemoteFile, Site } from './listing.ts'
import { withLock } from './lock.ts'
import { type Origin, shortName, toOrigin } from './origin.ts'
import { rangeSource } from './range-source.ts'
import { type Ask, ensureAccepted, termsFile } from './terms.ts'
import { Web } from './web.ts'
import { webFolder } from './web-folder.ts'

export interface PullOptions {
  /** Directory to make. Default: the cache alone; with `quant`, the model's name and the format. */
  readonly out?: string
  /** Convert while it comes. */
  readonly quant?: Quant
  /** With `quant`: keep nothing of the checkpoint on disk. */
  readonly stream?: boolean
  /** The file with the weights, where there are several. */
  readonly file?: string
  /** What clients call the converted model. */
  readonly id?: string
  readonly force?: boolean
  /** Files at once. Default 4. */
  readonly concurrency?: number
  /** Default: nobody can be asked. */
  readonly ask?: Ask
  /** Who asks Cloud Storage; default: nobody. */
  readonly googleTokens?: () => Promise<TokenSource | undefined>
  /** Default: process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly fetch?: typeof fetch
  readonly clock?: Clock
  readonly signal?: AbortSignal
  readonly onProgress?: ConvertOptions['onProgress']
  /** What a person should know meanwhile. */
  readonly onNote?: (sentence: string) => void
}

export interface Pulled {
  /** Where the model is. */
  readonly dir: string
  readonly label: string
  readonly revision: string
  readonly files: number
  readonly sizeBytes: number
  readonly warnings: readonly string[]
}

/**
 * Pulls the model of this name; see toOrigin for the names. What is in the cache is not asked for
 * again; what an earlier run began is gone on with.
 *
 * @throws FacetError invalid_request, unauthorized, forbidden, not_found, rate_limited, unavailable,
 *   connection_failed, bad_response, checksum_mismatch, unsupported, invalid_checkpoint, io_failed, aborted
 */
export async function pull(name: string, options: PullOptions = {}): Promise<Pulled> {
  const origin = toOrigin(name)
  if (options.stream && !options.quant) {
    throw new FacetError('invalid_request', '--stream converts, so it needs --quant int4, int8 or none.', {
      field: 'stream',
    })
  }
  const out = options.out ?? (options.quant && `${shortName(origin)}-${options.quant}`)
  if (origin.kind === 'folder') return fromFolder(origin.path, out, options)
  const web = new Web(options)
  const env = options.env ?? process.env
  const site = siteOf(origin, web, env, options)
  const all = await site.list()
  const choice = await described(chooseFiles(all.label, all.files, options.file), web, site)
  const listing = { ...all, files: choice.files }
  if (listing.terms) {
    const ask: Ask = options.ask ?? (async () => undefined)
    await ensureAccepted(listing.terms, listing.label, termsFile(env), ask, web.now())
  }
  const about = { dir: out ?? '', label: listing.label, revision: listing.revision }
  if (options.stream) {
    const made = await convertFrom(rangeSource(listing, web, site), out!, choice, listing, options)
    return { ...about, ...made }
  }
  const cache = new ModelCache(origin.kind === 'hub' ? hubCache(env) : ownCache(env), listing.folder)
  const waited = (owner: string): void =>
    options.onNote?.(`${listing.label} is being pulled by ${owner}; waiting until that is done.`)
  try {
    return await withLock(cache.lock, web, waited, () =>
      toCache(cache, listing, choice, web, site, out, options),
    )
  } catch (error) {
    throw toIoError(error, cache.root)
  }
}

async function toCache(
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
  const source = download.source(() => fetched)
  const converted = convertFrom(source, out!, choice, listing, options)
  const [done, made] = await Promise.allSettled([fetched, converted])
  if (done.status === 'rejected') throw done.reason
  if (made.status === 'fulfilled' && !download.restarted) return { ...about, ...made.value }
  // Bytes that were used had to be fetched again: what was made of them does not count.
  if (!download.restarted) throw (made as PromiseRejectedResult).reason
  const again = { ...options, force: options.force || made.status === 'fulfilled' }
  return { ...about, ...(await convertFrom(localSource(snapshot, choice), out!, choice, listing, again)) }
}

type Made = Pick<Pulled, 'files' | 'sizeBytes' | 'warnings'>

async function convertFrom(
  source: FileSource | string,
  out: string,
  { file }: Choice,
  { label, revision, terms }: Pick<Listing, 'label' | 'revision' | 'terms'>,
  { quant, id, force, signal, onProgress }: PullOptions,
): Promise<Made> {
  const { manifest, warnings } = await convert(source, out, {
    ...(quant && { quant }),
    ...(file !== undefined && typeof source !== 'string' && { file }),
    ...(id !== undefined && { id }),
    ...(terms && { license: `${terms.name} (${terms.url})` }),
    source: `${label}@${revision}`,
    force: force ?? false,
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  })
  return { ...sizesOf(manifest.files), warnings }
}

/** The snapshot, or the file in it that holds the weights. */
function localSource(dir: string, { file }: Choice): string {
  return file === undefined ? dir : join(dir, file)
}

async function fromFolder(path: string, out: string | undefined, options: PullOptions): Promise<Pulled> {
  const from = path.replace(/^~(?=[/\\])/, homedir())
  const found = await stat(from).catch(() => undefined)
  if (!found)
    throw new FacetError('not_found', `There is nothing at ${from}; check the path.`, { field: 'name' })
  if (!out) {
    throw new FacetError(
      'invalid_request',
      `${from} is here already; say where it should go, or convert it with --quant.`,
      {
        field: 'out',
      },
    )
  }
  const about = { dir: out, label: path, revision: 'local' }
  if (options.quant) return { ...about, ...(await convertFrom(from, out, { files: [] }, about, options)) }
  if (found.isFile()) {
    throw new FacetError(
      'invalid_request',
      `${from} is a file; pull the folder it lies in, or convert it with --quant.`,
      {
        field: 'name',
      },
    )
  }
  const names = await readdir(from, { recursive: true, withFileTypes: true })
  const files: RemoteFile[] = []
  for (const entry of names) {
    const full = join(entry.parentPath, entry.name)
    const { size, ...info } = await stat(full)
    const relative = full.slice(join(from, '/').length).split('\\').join('/')
    if ((info.mode & constants.S_IFMT) === constants.S_IFREG)
      files.push({ path: relative, url: '', sizeBytes: size, blob: '' })
  }
  const choice = chooseFiles(from, files, options.file)
  await copyTo(from, choice.files, out, options.force ?? false)
  return { ...about, ...sizesOf(choice.files), warnings: [] }
}

function siteOf(
  origin: Exclude<Origin, { kind: 'folder' }>,
  web: Web,
  env: Readonly<Record<string, string | undefined>>,
  { googleTokens }: PullOptions,
): Site {
  switch (origin.kind) {
    case 'hub':
      return hub(web, origin.name, origin.revision, env)
    case 'kaggle':
      return kaggle(web, origin.handle, env)
    case 'gs':
      return gcs(
        web,
        origin.bucket,
        origin.prefix,
        googleTokens ?? (async () => undefined),
        env.STORAGE_EMULATOR_HOST,
      )
    case 'web':
      return webFolder(web, origin.url)
  }
}

async function described(choice: Choice, web: Web, site: Site): Promise<Choice> {
  const files: RemoteFile[] = []
  for (const file of choice.files) files.push(await describe(web, site, file))
  return { ...choice, files }
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

async function copyTo(
  from: string,
  files: readonly RemoteFile[],
  out: string,
  force: boolean,
): Promise<void> {
  await fillDirectory(out, force, async (dir) => {
    for (const { path } of files) {
      const to = join(dir, ...path.split('/'))
      await mkdir(dirname(to), { recursive: true })
      // Where the disk can share blocks the copy costs nothing.
      await copyFile(join(from, ...path.split('/')), to, constants.COPYFILE_FICLONE)
    }
  })
}

function sizesOf(
  files: readonly { readonly sizeBytes: number | undefined }[],
): Pick<Pulled, 'files' | 'sizeBytes'> {
  return { files: files.length, sizeBytes: files.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0) }
}
