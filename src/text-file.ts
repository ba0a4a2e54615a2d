/** Texts that people name by a path: read whole, or refused in one sentence. */
import { readFile } from 'node:fs/promises'
import { FacetError } from './errors.ts'

export interface NamedText {
  /** The option, or the field, that names the file. */
  readonly field: string
  /** What to give instead, without its full stop: `give a JSON file with --gates`. */
  readonly advice: string
}

/** @throws FacetError io_failed */
export function readText(file: string, { field, advice }: NamedText): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'is not there' : `cannot be read (${cause.code})`
    throw new FacetError('io_failed', `${file} ${why}; ${advice}.`, { field, cause })
  })
}
