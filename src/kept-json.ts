/** JSON files of Facet's own below `.facet/`: read as they are, written beside and renamed. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FacetError } from './errors.ts'

/** Undefined: there is no such file. Without `json`: it holds something else. @throws FacetError io_failed */
export async function readKept(file: string): Promise<{ readonly json?: unknown } | undefined> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new FacetError('io_failed', `${file} cannot be read (${cause.code}); check its permissions.`, {
      cause,
    })
  })
  if (text === undefined) return undefined
  try {
    return { json: JSON.parse(text) }
  } catch {
    // Told by whoever knows what should stand there.
    return {}
  }
}

/** Whole, or as it was. @throws FacetError io_failed */
export async function writeKept(file: string, json: object): Promise<void> {
  const beside = `${file}.${process.pid}.tmp`
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(beside, `${JSON.stringify(json, null, 2)}\n`)
    await rename(beside, file)
  } catch (cause) {
    await rm(beside, { force: true })
    const { code } = cause as NodeJS.ErrnoException
    throw new FacetError('io_failed', `${file} cannot be written (${code}); check space and permissions.`, {
      cause,
    })
  }
}
