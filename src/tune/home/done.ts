/** done.json as the scripts write it last: what a run has made, with sizes and digests. */
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import type { JobFile } from '../job/job.ts'
import { toJson } from '../to-json.ts'

export const DONE_FILE = 'done.json'

export interface Done {
  /** adapter: matrices of PEFT beside the base. checkpoint: whole, in the Hugging Face layout. */
  readonly kind: 'adapter' | 'checkpoint'
  /** On Hugging Face, such as `google/gemma-2b`. */
  readonly base: string
  readonly method: 'lora' | 'qlora' | 'full'
  readonly steps: number
  /** Of the packages that made it, by name. */
  readonly versions: Readonly<Record<string, string>>
  /** Relative to `result/`. */
  readonly files: readonly JobFile[]
}

const LARGEST_FILE = 2 ** 50
/** Below `result/`, in folders with plain names. */
const PATH = /^(?!.*(?:^|\/)\.\.?(?:\/|$))[\w.-]+(?:\/[\w.-]+)*$/

/** @throws FacetError bad_response, with what is wrong */
export function parseDone(text: string): Done {
  const value = toJson(text)
  if (!isObject(value)) throw wrong('it', 'is no JSON object')
  const { kind, base, method, steps, versions, files } = value
  if (kind !== 'adapter' && kind !== 'checkpoint') throw wrong('kind', 'must be adapter or checkpoint')
  if (typeof base !== 'string' || base === '') throw wrong('base', 'must be the name of a model')
  if (method !== 'lora' && method !== 'qlora' && method !== 'full')
    throw wrong('method', 'must be lora, qlora or full')
  if (!Number.isSafeInteger(steps) || Number(steps) < 0) throw wrong('steps', 'must be a whole number')
  if (!isObject(versions) || !Object.values(versions).every((one) => typeof one === 'string'))
    throw wrong('versions', 'must be texts by name')
  if (!Array.isArray(files) || files.length === 0) throw wrong('files', 'must be a list of files')
  const listed = files.map((file, index) => toFile(file, `files[${index}]`))
  if (new Set(listed.map(({ path }) => path)).size < listed.length)
    throw wrong('files', 'names one file twice')
  return {
    kind,
    base,
    method,
    steps: Number(steps),
    versions: versions as Record<string, string>,
    files: listed,
  }
}

function toFile(value: unknown, field: string): JobFile {
  if (!isObject(value)) throw wrong(field, 'must be an object')
  const { path, bytes, sha256 } = value
  if (typeof path !== 'string' || !PATH.test(path)) throw wrong(`${field}.path`, 'must lead into result/')
  if (!Number.isSafeInteger(bytes) || Number(bytes) < 0 || Number(bytes) > LARGEST_FILE)
    throw wrong(`${field}.bytes`, 'must be a size')
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))
    throw wrong(`${field}.sha256`, 'must be 64 hexadecimal digits')
  return { path, bytes: Number(bytes), sha256 }
}

function wrong(field: string, problem: string): FacetError {
  const says = `${DONE_FILE}: ${field} ${problem}; was it written by Facet's scripts?`
  return new FacetError('bad_response', says, { field })
}
