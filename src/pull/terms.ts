/** Terms of use: shown before a model is used, and remembered once they are accepted. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { FacetError } from '../errors.ts'
import { GEMMA_TERMS, PROHIBITED_USES, type Terms, toLicense } from '../gemma/terms.ts'

/** Asks whoever sits there; undefined: nobody can be asked. */
export type Ask = (terms: Terms, model: string) => Promise<boolean | undefined>

/** By the address of the terms. */
type Accepted = Readonly<Record<string, Acceptance>>

interface Acceptance {
  readonly model: string
  readonly acceptedAt: string
  /** The policy that was acknowledged with them. */
  readonly prohibitedUses?: string
}

export function termsFile(env: Readonly<Record<string, string | undefined>>): string {
  const home = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config')
  return join(home, 'facet', 'accepted-terms.json')
}

/**
 * Returns once the terms are accepted, now or earlier; writes down who accepted what when.
 *
 * @param path where acceptances are kept
 * @throws FacetError forbidden when they are not accepted, io_failed
 */
export async function ensureAccepted(
  terms: Terms,
  model: string,
  path: string,
  ask: Ask,
  nowMs: number,
): Promise<void> {
  const accepted = await readAccepted(path)
  if (Object.hasOwn(accepted, terms.url)) return
  const answer = await ask(terms, model)
  if (!answer) {
    const how =
      answer === undefined
        ? 'read them, and run this again with --accept-terms'
        : 'without that it is not used'
    const problem = `${model} may be used only under the ${toLicense(terms)}; ${how}.`
    throw new FacetError('forbidden', problem, { field: 'accept-terms' })
  }
  const acceptedAt = new Date(nowMs).toISOString()
  const prohibited = terms.url === GEMMA_TERMS.url && { prohibitedUses: PROHIBITED_USES }
  const all: Accepted = { ...accepted, [terms.url]: { model, acceptedAt, ...prohibited } }
  try {
    await mkdir(dirname(path), { recursive: true })
    const beside = `${path}.${process.pid}`
    await writeFile(beside, `${JSON.stringify(all, null, 2)}\n`)
    await rename(beside, path)
  } catch (cause) {
    throw new FacetError('io_failed', `${path} cannot be written; check its folder's permissions.`, { cause })
  }
}

async function readAccepted(path: string): Promise<Accepted> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}'
    throw new FacetError('io_failed', `${path} cannot be read (${error.code}).`, { cause: error })
  })
  try {
    const json: unknown = JSON.parse(text)
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Accepted
  } catch {
    // Said below, as for any other text that is no object.
  }
  throw new FacetError('invalid_request', `${path} is not what Facet wrote; remove it to be asked again.`)
}
