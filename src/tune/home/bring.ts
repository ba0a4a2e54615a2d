/** Brings a run's result here: whole and verified, or not at all; what an earlier try brought is gone on with. */
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { toIoError } from '../../convert/output.ts'
import { FacetError } from '../../errors.ts'
import { isGemmaName, NOTICE_FILE, toTunedNotice } from '../../gemma/terms.ts'
import { DONE_FILE, type Done, parseDone } from './done.ts'
import { type ResultPlace, sha256Of } from './result-place.ts'

export interface BringOptions {
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
}

/** Of what is on its way; beside the files, so that renaming them costs nothing. */
const PARTIAL_FOLDER = '.partial'

/**
 * Fills `dir` with the result's files, the notice that Gemma's terms want of what was tuned from Gemma, and
 * done.json last: whoever finds that finds all of it.
 *
 * @throws FacetError not_found (no done.json: the run has not ended), checksum_mismatch, bad_response, io_failed
 */
export async function bringHome(place: ResultPlace, dir: string, options: BringOptions = {}): Promise<Done> {
  const text = await place.text(DONE_FILE)
  if (text === undefined) {
    const says = `${place.label} has no ${DONE_FILE}: the run has not ended; look at it with facet tune status.`
    throw new FacetError('not_found', says, { field: 'from' })
  }
  const done = parseDone(text)
  try {
    await mkdir(join(dir, PARTIAL_FOLDER), { recursive: true })
    await rm(join(dir, DONE_FILE), { force: true })
    await bringFiles(place, dir, done, options)
    await removeOthers(dir, done)
    if (isGemmaName(done.base)) await writeFile(join(dir, NOTICE_FILE), toTunedNotice(done.base))
    await writeWhole(join(dir, DONE_FILE), text)
    await rm(join(dir, PARTIAL_FOLDER), { recursive: true, force: true })
  } catch (error) {
    throw toIoError(error, dir)
  }
  return done
}

async function bringFiles(
  place: ResultPlace,
  dir: string,
  { files }: Done,
  { onProgress }: BringOptions,
): Promise<void> {
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let before = 0
  for (const file of files) {
    const target = join(dir, ...file.path.split('/'))
    if (!(await isThere(target, file.bytes, file.sha256))) {
      await mkdir(dirname(target), { recursive: true })
      // Named by its digest: what is left of another run's file is not gone on with.
      const partial = join(dir, PARTIAL_FOLDER, file.sha256)
      await place.bring(file, partial, target, (sizeBytes) =>
        onProgress?.({ doneBytes: before + sizeBytes, totalBytes }),
      )
    }
    before += file.bytes
    onProgress?.({ doneBytes: before, totalBytes })
  }
}

async function isThere(file: string, bytes: number, sha256: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined)
  return found?.size === bytes && (await sha256Of(file)) === sha256
}

/** Of a run before. */
async function removeOthers(dir: string, { files }: Done): Promise<void> {
  const kept = new Set(files.map(({ path }) => join(dir, ...path.split('/'))))
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !kept.has(path) && !path.startsWith(join(dir, PARTIAL_FOLDER))) await rm(path)
  }
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.tmp`, text)
  await rename(`${file}.tmp`, file)
}
