/** One process at a time fills a model's cache: a lock file that names its owner. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { FacetError } from '../errors.ts'
import { isRunning } from '../file-lock.ts'
import type { Web } from './web.ts'

interface Owner {
  readonly pid: number
  readonly host: string
  /** Different for every lock that was ever made. */
  readonly id: string
}

/** A waiting process looks this often, and an owner shows this often that it lives. */
const LOOK_MS = 1000
const BEAT_MS = 10_000
/** An owner on another machine that has not shown itself for so long is gone. */
const GONE_MS = 120_000

/**
 * Waits until nobody else holds the lock, runs the work, and lets go.
 *
 * @param onWait is told once who is waited for
 * @throws FacetError aborted, io_failed, and what the work throws
 */
export async function withLock<T>(
  path: string,
  web: Web,
  onWait: (owner: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  const own: Owner = { pid: process.pid, host: hostname(), id: randomUUID() }
  for (let told = false; !(await create(path, own)); ) {
    const owner = await readOwner(path)
    if (owner === 'gone') continue
    if (await isDead(path, owner, web.now())) {
      await takeOver(path, owner)
      continue
    }
    if (!told) onWait(owner ? `process ${owner.pid} on ${owner.host}` : 'another process')
    told = true
    await web.wait(LOOK_MS)
  }
  let beating = true
  const beat = (): void => {
    if (!beating) return
    const now = new Date(web.now())
    // A lock that somebody removed by hand needs no sign of life.
    utimes(path, now, now).catch(() => undefined)
    timer = setTimeout(beat, BEAT_MS).unref()
  }
  let timer = setTimeout(beat, BEAT_MS).unref()
  try {
    return await work()
  } finally {
    beating = false
    clearTimeout(timer)
    const owner = await readOwner(path)
    if (owner !== 'gone' && owner?.id === own.id) await rm(path, { force: true })
  }
}

async function create(path: string, own: Owner): Promise<boolean> {
  const file = await open(path, 'wx').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return undefined
    throw new FacetError(
      'io_failed',
      `${path} cannot be made (${error.code}); check its folder's permissions.`,
      {
        cause: error,
      },
    )
  })
  if (!file) return false
  await file.writeFile(JSON.stringify(own))
  await file.close()
  return true
}

/** Undefined: it does not say, perhaps because it is being written. */
async function readOwner(path: string): Promise<Owner | undefined | 'gone'> {
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'))
    const { pid, host, id } = json as Owner
    return typeof pid === 'number' && typeof host === 'string' && typeof id === 'string'
      ? { pid, host, id }
      : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'gone'
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined
    throw error
  }
}

async function isDead(path: string, owner: Owner | undefined, nowMs: number): Promise<boolean> {
  if (owner?.host === hostname()) return !isRunning(owner.pid)
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && nowMs - found.mtimeMs > GONE_MS
}

/** Of all who find the lock dead, only one may remove it: another could already hold a new one by then. */
async function takeOver(path: string, owner: Owner | undefined): Promise<void> {
  const claim = `${path}.${owner?.id.replaceAll(/[^\w-]/g, '') ?? 'unknown'}`
  const file = await open(claim, 'wx').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return undefined
    throw error
  })
  if (!file) return
  await file.close()
  const now = await readOwner(path)
  if (now !== 'gone' && now?.id === owner?.id) await rm(path, { force: true })
  await rm(claim, { force: true })
}
