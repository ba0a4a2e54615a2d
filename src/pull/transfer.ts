/** One file from a server to the disk: resumed where it broke off, verified before it gets its name. */
import { rename, rm } from 'node:fs/promises'
import { FacetError } from '../errors.ts'
import type { RemoteFile, Site } from './listing.ts'
import { PartialFile } from './partial-file.ts'
import { passes, TRIES, type Web } from './web.ts'

export interface Watch {
  /** The file has so many bytes now; fewer than before when it had to begin anew. */
  readonly onSize: (sizeBytes: number) => void
  /** Ends it between two pieces, without harm to what is there. */
  readonly signal: AbortSignal
  /** Bytes handed out before may have been wrong. */
  readonly onRestart: () => void
}

/**
 * Downloads `remote` to `partial`, going on with what is there, and renames that to `target` once all
 * of it is there and its hash is right.
 *
 * @throws FacetError as Web.get does, and bad_response, checksum_mismatch, io_failed
 */
export async function transfer(
  remote: RemoteFile,
  partial: string,
  target: string,
  web: Web,
  site: Site,
  watch: Watch,
): Promise<void> {
  const file = await PartialFile.open(partial, remote)
  try {
    watch.onSize(file.sizeBytes)
    let resumed = file.sizeBytes > 0
    for (;;) {
      await fill(file, remote, web, site, watch)
      await file.sync()
      if (file.matches()) break
      await beginAnew(file, watch)
      // What an earlier run left may be at fault; what came in one go is not.
      if (!resumed) throw mismatch(remote)
      resumed = false
    }
  } catch (error) {
    if (error instanceof FacetError && WRONG.has(error.code)) await rm(partial, { force: true })
    throw error
  } finally {
    await file.close()
  }
  await rename(partial, target)
}

/** Says so first: whoever reads the file while it is cut must find out why. */
async function beginAnew(file: PartialFile, watch: Watch): Promise<void> {
  watch.onRestart()
  await file.restart()
  watch.onSize(0)
}

/** Errors after which nothing that was downloaded is of use. */
const WRONG: ReadonlySet<string> = new Set(['bad_response', 'checksum_mismatch'])

/** Appends until the file is whole. */
async function fill(
  file: PartialFile,
  remote: RemoteFile,
  web: Web,
  site: Site,
  watch: Watch,
): Promise<void> {
  for (let tries = 0; file.sizeBytes !== remote.sizeBytes; ) {
    const before = file.sizeBytes
    try {
      const ended = await fetchRest(file, remote, web, site, watch)
      if (remote.sizeBytes === undefined && ended) return
      if (remote.sizeBytes === file.sizeBytes) return
      throw new FacetError('connection_failed', `${remote.path} broke off; run this again to go on.`)
    } catch (error) {
      if (!(error instanceof FacetError) || !passes(error)) throw error
      tries = file.sizeBytes > before ? 1 : tries + 1
      if (tries >= TRIES) throw error
      await web.pause(tries, error)
    }
  }
}

/** One request for what is missing. True: the server says that this was all. */
async function fetchRest(
  file: PartialFile,
  remote: RemoteFile,
  web: Web,
  site: Site,
  watch: Watch,
): Promise<boolean> {
  const from = file.sizeBytes
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (from > 0) headers.range = `bytes=${from}-`
  if (from > 0 && remote.etag?.startsWith('"')) headers['if-range'] = remote.etag
  const response = await web.get(remote.url, site, remote.path, { headers })
  if (response.status === 416 || (response.status === 200 && from > 0)) {
    // Without ranges, or with another file than before, it begins anew.
    await beginAnew(file, watch)
  }
  if (response.status === 416) {
    await response.body?.cancel()
    return false
  }
  checkAnswer(response, remote, file.sizeBytes)
  const length = Number(response.headers.get('content-length') ?? Number.NaN)
  const wanted = remote.sizeBytes ?? (Number.isFinite(length) ? file.sizeBytes + length : undefined)
  for await (const bytes of web.body(response, remote.path)) {
    watch.signal.throwIfAborted()
    if (file.sizeBytes + bytes.length > (wanted ?? Number.POSITIVE_INFINITY)) {
      throw wrong(remote, `has more than the ${wanted} bytes it should have`)
    }
    await file.append(bytes)
    watch.onSize(file.sizeBytes)
  }
  return wanted === undefined || file.sizeBytes === wanted
}

/** @throws FacetError bad_response for an answer that is not (the rest of) this file */
export function checkAnswer(response: Response, remote: RemoteFile, from: number): void {
  const { headers, status } = response
  const type = headers.get('content-type') ?? ''
  if (type.startsWith('text/html') && !/\.html?$/.test(remote.path)) {
    throw wrong(remote, 'came as a web page, perhaps of a sign-in')
  }
  const etag = headers.get('etag')
  if (remote.etag !== undefined && etag !== null && etag !== remote.etag)
    throw wrong(remote, 'changed meanwhile')
  if (status === 206) {
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? []
    if (Number(start) !== from) throw wrong(remote, `came from byte ${start} instead of ${from}`)
    checkSize(remote, total === '*' ? undefined : Number(total))
    return
  }
  const length = headers.get('content-length')
  if (length !== null && headers.get('content-encoding') === null) checkSize(remote, Number(length))
}

function checkSize(remote: RemoteFile, sizeBytes: number | undefined): void {
  if (remote.sizeBytes === undefined || sizeBytes === undefined || sizeBytes === remote.sizeBytes) return
  throw wrong(remote, `has ${sizeBytes} bytes, but the listing says ${remote.sizeBytes}`)
}

function wrong({ path }: RemoteFile, problem: string): FacetError {
  return new FacetError('bad_response', `${path} ${problem}; run this again.`, { field: path })
}

function mismatch({ path, digest }: RemoteFile): FacetError {
  const problem = `${path} does not have the ${digest!.algorithm} that its listing promises; run this again.`
  return new FacetError('checksum_mismatch', problem, { field: path })
}
