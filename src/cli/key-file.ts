/** API keys from the environment and from a file that may change while the server runs. */
import { readFileSync, statSync } from 'node:fs'
import { type ApiKey, type KeySource, toApiKeys } from '../edge/app.ts'
import { FacetError } from '../errors.ts'

export interface KeyPlaces {
  /** The keys themselves, of FACET_API_KEYS. */
  readonly text: string | undefined
  readonly file: string | undefined
  /** Told when the file has changed and cannot be read: the keys from before stay good. */
  readonly report: (error: unknown) => void
}

export interface Keys {
  readonly source: KeySource
  /** Why the file is not followed at this moment, in a sentence without names; undefined: it is. */
  readonly problem: () => Promise<string | undefined>
}

/**
 * Undefined when neither place is named: then there are no keys, and everybody may ask. The file is looked at
 * with every request, so that a key taken out of it is revoked at once.
 *
 * @throws FacetError invalid_request, io_failed
 */
export async function keysFrom({ text, file, report }: KeyPlaces): Promise<Keys | undefined> {
  if (text === undefined && file === undefined) return undefined
  if (text?.trim() === '') {
    throw new FacetError(
      'invalid_request',
      'FACET_API_KEYS is empty; put keys into it, or unset it for none.',
    )
  }
  const fixed = text === undefined ? [] : await toApiKeys(text, 'FACET_API_KEYS')
  if (file === undefined) return { source: fixed, problem: async () => undefined }
  let seen = versionOf(file)
  let current = await read(file, fixed)
  /** What was said of the file; it is said once. */
  let said: string | undefined
  const source = async (): Promise<readonly ApiKey[]> => {
    try {
      const version = versionOf(file)
      if (version !== seen) {
        current = await read(file, fixed)
        seen = version
      }
      said = undefined
    } catch (error) {
      const { message } = error as Error
      if (message !== said) report(error)
      said = message
    }
    return current
  }
  const problem = async (): Promise<string | undefined> => {
    await source()
    return said === undefined ? undefined : STALE
  }
  return { source, problem }
}

const STALE =
  'The file of API keys has changed and cannot be read: the keys from before stay good, those taken out of it as well; see standard error.'

/** Changes when the file does. */
function versionOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

async function read(file: string, fixed: readonly ApiKey[]): Promise<ApiKey[]> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw unreadable(file, cause)
  }
  const keys = await toApiKeys(text, file)
  const twice = keys.find(({ name }) => fixed.some((key) => key.name === name))
  if (!twice) return [...fixed, ...keys]
  throw new FacetError(
    'invalid_request',
    `The key ${twice.name} stands in ${file} and in FACET_API_KEYS; take it out of one of them.`,
  )
}

function unreadable(file: string, cause: unknown): FacetError {
  const { code } = cause as NodeJS.ErrnoException
  return new FacetError(
    'io_failed',
    `The key file ${file} cannot be read (${code}); check its path and permissions.`,
    { cause },
  )
}
