/** A file that says which process is at work, so that a second one stays away. */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { FacetError } from './errors.ts'

/**
 * Takes the lock until it is disposed of, or fails at once. The lock of a process of this machine that is gone
 * is taken over.
 *
 * @param what its holder does, for whoever meets it: `at work in runs/a`
 * @throws FacetError unavailable, which names the process that holds it; io_failed
 */
export async function takeLock(file: string, what: string): Promise<AsyncDisposable> {
  await take(file, what)
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) }
}

/** The file appears whole, by a link: whoever reads it finds its process. */
async function take(file: string, what: string): Promise<void> {
  const beside = `${file}.${process.pid}.tmp`
  await writeFile(beside, `${process.pid} ${hostname()}\n`).catch((error) => {
    throw unusable(file, error)
  })
  try {
    if (await linked(beside, file)) return
    const holder = await readFile(file, 'utf8').catch(() => '')
    const [pid, host] = holder.trim().split(' ')
    const gone = host === hostname() && !isRunning(Number(pid))
    if (gone && (await takenAway(file, holder)) && (await linked(beside, file))) return
    throw new FacetError(
      'unavailable',
      `Process ${pid || '?'} on ${host ?? 'this machine'} is ${what}; wait for it, or delete ${file} if it is gone.`,
      { retryAfterMs: 10_000 },
    )
  } finally {
    await rm(beside, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw unusable(to, error)
  }
}

/** Removes a lock, unless somebody else has done so and put up their own meanwhile: then that is put back. */
async function takenAway(file: string, holder: string): Promise<boolean> {
  const away = `${file}.${process.pid}.old`
  try {
    await rename(file, away)
    if ((await readFile(away, 'utf8')) === holder) return true
    await linked(away, file)
    return false
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw unusable(file, error)
  } finally {
    await rm(away, { force: true })
  }
}

/** Whether a process of this machine is there. */
export function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs, as somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function unusable(file: string, cause: unknown): FacetError {
  const { code } = cause as NodeJS.ErrnoException
  return new FacetError('io_failed', `${file} cannot be used (${code}); check space and permissions.`, {
    cause,
  })
}
