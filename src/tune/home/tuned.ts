/** `.facet/tuned.json`: what was tuned and brought home, by name, for endpoints and deployments to take. */
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isObject } from '../../check.ts'
import { toIoError } from '../../convert/output.ts'
import { FacetError } from '../../errors.ts'
import { takeLock } from '../../file-lock.ts'
import { readKept, writeKept } from '../../kept-json.ts'

/**
 * adapter: computed beside the base. model: a model directory of its own. reward: scores answers, and does not chat;
 * the adapter or checkpoint as it came.
 */
export type TunedKind = (typeof KINDS)[number]

const KINDS = ['adapter', 'model', 'reward'] as const

export interface Tuned {
  readonly kind: TunedKind
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
  const kept = await readKept(file)
  if (!kept) return {}
  const { json } = kept
  if (isObject(json) && Object.values(json).every(isTuned)) return json as Record<string, Tuned>
  throw new FacetError('invalid_request', `${file} is damaged; delete it and run facet tune fetch again.`)
}

/**
 * Adds or replaces one; the others stay, whoever writes at the same time.
 *
 * @throws FacetError unavailable: another process is writing; io_failed
 */
export async function writeTuned(folder: string, name: string, tuned: Tuned): Promise<void> {
  const file = join(folder, FILE)
  try {
    await mkdir(dirname(file), { recursive: true })
  } catch (error) {
    throw toIoError(error, file)
  }
  const lock = await takeLock(`${file}.lock`, `writing ${file}`)
  try {
    await writeKept(file, { ...(await readTuned(folder)), [name]: tuned })
  } finally {
    await lock[Symbol.asyncDispose]()
  }
}

/** What has this name, if anything. */
export function tunedAs(tuned: TunedModels, name: string): Tuned | undefined {
  return Object.hasOwn(tuned, name) ? tuned[name] : undefined
}

function isTuned(value: unknown): boolean {
  if (!isObject(value)) return false
  const { kind, directory, base, rank, from, method, steps } = value
  return (
    KINDS.some((one) => one === kind) &&
    [directory, base, from].every((one) => typeof one === 'string') &&
    (rank === undefined || Number.isSafeInteger(rank)) &&
    (method === 'lora' || method === 'qlora' || method === 'full') &&
    Number.isSafeInteger(steps)
  )
}
