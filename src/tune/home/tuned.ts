/** `.facet/tuned.json`: what was tuned and brought home, by name, for endpoints and deployments to take. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'

export interface Tuned {
  /** adapter: computed beside the base. model: a model directory of its own. */
  readonly kind: 'adapter' | 'model'
  /** Relative to the folder of facet.config.ts. */
  readonly directory: string
  /** What it was trained on. */
  readonly base: string
  /** Of an adapter: the largest of its matrices. */
  readonly rank?: number
  /** Where its files lie for servers elsewhere: `gs://…/result`, or a folder. */
  readonly from: string
  readonly method: 'lora' | 'qlora' | 'full'
  readonly steps: number
}

export type TunedModels = Readonly<Record<string, Tuned>>

const FILE = '.facet/tuned.json'

/** Where a tuning's files are kept, relative to the folder of facet.config.ts. */
export function tunedFolder(name: string): string {
  return `.facet/tuned/${name}`
}

/** @throws FacetError invalid_request where the file is not what writeTuned wrote, io_failed */
export async function readTuned(folder: string): Promise<TunedModels> {
  const file = join(folder, FILE)
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '{}'
    throw new FacetError('io_failed', `${file} cannot be read (${cause.code}); check it.`, { cause })
  })
  const json = toJson(text)
  if (isObject(json) && Object.values(json).every(isTuned)) return json as Record<string, Tuned>
  throw new FacetError('invalid_request', `${file} is damaged; delete it and run facet tune fetch again.`)
}

/** Adds or replaces one; the file is written beside and renamed. @throws FacetError io_failed */
export async function writeTuned(folder: string, name: string, tuned: Tuned): Promise<void> {
  const all = { ...(await readTuned(folder)), [name]: tuned }
  const file = join(folder, FILE)
  const beside = `${file}.${process.pid}.tmp`
  try {
    await mkdir(join(folder, '.facet'), { recursive: true })
    await writeFile(beside, `${JSON.stringify(all, null, 2)}\n`)
    await rename(beside, file)
  } catch (cause) {
    await rm(beside, { force: true })
    const { code } = cause as NodeJS.ErrnoException
    throw new FacetError('io_failed', `${file} cannot be written (${code}); check space and permissions.`, {
      cause,
    })
  }
}

function isTuned(value: unknown): boolean {
  if (!isObject(value)) return false
  const { kind, directory, base, rank, from, method, steps } = value
  return (
    (kind === 'adapter' || kind === 'model') &&
    [directory, base, from].every((one) => typeof one === 'string') &&
    (rank === undefined || Number.isSafeInteger(rank)) &&
    (method === 'lora' || method === 'qlora' || method === 'full') &&
    Number.isSafeInteger(steps)
  )
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Told by whoever reads the file.
    return undefined
  }
}
