/** Models that are on this machine already: copied, or converted. */

import { constants } from 'node:fs'
import { copyFile, mkdir, readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fillDirectory } from '../convert/output.ts'
import { FacetError } from '../errors.ts'
import { chooseFiles } from './choose.ts'
import { convertFrom, sizesOf } from './convert-from.ts'
import type { RemoteFile } from './listing.ts'
import type { Pulled, PullOptions } from './options.ts'

/**
 * @param out the directory to make; undefined is refused, as the model is here already
 * @throws FacetError not_found, invalid_request, and as convert does
 */
export async function fromFolder(
  path: string,
  out: string | undefined,
  options: PullOptions,
): Promise<Pulled> {
  const from = path.replace(/^~(?=[/\\])/, homedir())
  const found = await stat(from).catch(() => undefined)
  if (!found)
    throw new FacetError('not_found', `There is nothing at ${from}; check the path.`, { field: 'name' })
  if (!out) {
    throw new FacetError(
      'invalid_request',
      `${from} is here already; say where it should go, or convert it with --quant.`,
      { field: 'out' },
    )
  }
  const about = { dir: out, label: path, revision: 'local' }
  if (options.quant) return { ...about, ...(await convertFrom(from, out, { files: [] }, about, options)) }
  if (found.isFile()) {
    throw new FacetError(
      'invalid_request',
      `${from} is a file; pull the folder it lies in, or convert it with --quant.`,
      { field: 'name' },
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

/** Makes a directory of these files. */
export async function copyTo(
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
