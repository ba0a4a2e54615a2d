/** wrangler as a child process: bundles, deploys, and takes secrets by its standard input. */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { abortedError, FacetError } from '../../src/errors.ts'
import { sentence } from '../cause.ts'
import { peer } from '../peer.ts'
import type { CloudflareOptions } from './api.ts'

export interface WranglerOptions {
  /** Where its configuration lies, and where it may write. */
  readonly folder: string
  /** Of the facet.config.ts: its project's wrangler is taken where it has one. */
  readonly from: string
  readonly cloudflare: Pick<CloudflareOptions, 'account' | 'token' | 'baseURL'>
  readonly signal: AbortSignal
  /** What it reads. */
  readonly input?: string
  /** File in its folder to which it adds what it has done, one JSON object a line. */
  readonly told: string
}

/** @throws FacetError unsupported, where it is not installed; unavailable, with what it says */
export async function wrangler(args: readonly string[], options: WranglerOptions): Promise<string> {
  const { folder, from, cloudflare, signal, told, input = '' } = options
  const script = await peer('wrangler', 'Deploying to Cloudflare Workers', async () => find(from))
  if (signal.aborted) throw abortedError(signal)
  const child = spawn(process.execPath, [script, ...args], {
    cwd: folder,
    signal,
    env: {
      ...process.env,
      CLOUDFLARE_API_TOKEN: cloudflare.token,
      CLOUDFLARE_ACCOUNT_ID: cloudflare.account,
      ...(cloudflare.baseURL !== undefined && { CLOUDFLARE_API_BASE_URL: cloudflare.baseURL }),
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_LOG_PATH: join(folder, 'logs'),
      WRANGLER_OUTPUT_FILE_PATH: join(folder, told),
      // Nobody is there to be asked.
      CI: '1',
      NO_COLOR: '1',
    },
  })
  let out = ''
  let problems = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    problems += text
  })
  // A child that ends early does not read it all.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve)
  }).catch((error: unknown) => {
    if (signal.aborted) throw abortedError(signal)
    throw new FacetError('io_failed', `wrangler could not be started (${String(error)}).`, { cause: error })
  })
  if (code === 0) return out
  throw new FacetError('unavailable', `wrangler ${args[0]} failed: ${problemIn(`${problems}\n${out}`)}`, {
    retry: 'never',
  })
}

/** wrangler's own command, by the package that exports it. */
function find(from: string): string {
  for (const place of [join(from, 'package.json'), import.meta.url]) {
    try {
      const manifest = createRequire(place).resolve('wrangler/package.json')
      return join(manifest, '..', 'bin/wrangler.js')
    } catch {
      // Told once no place has it.
    }
  }
  throw new Error('wrangler is not installed')
}

/** The lines that say what went wrong: the first that is marked as an error, and those below it up to a gap. */
function problemIn(text: string): string {
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')
  const lines = text.replaceAll(escapes, '').split('\n')
  const start = lines.findIndex((line) => /\[?ERROR\]?/.test(line))
  const told = lines.slice(Math.max(start, 0)).slice(0, 6).join(' ')
  return sentence(told.replace(/^.*?\[?ERROR\]?\s*/, ''))
}
