/** Runs `facet` as a process of its own, the way a person does. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export const MAIN: string = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface Ran {
  /** null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Options for Node itself. */
  readonly node?: readonly string[]
  /** Added to this process's own. */
  readonly env?: Readonly<Record<string, string>>
  /** Is given the running process. */
  readonly meanwhile?: (child: ChildProcess) => void
}

export async function facet(
  args: readonly string[],
  { node = [], env = {}, meanwhile }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [...node, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  meanwhile?.(child)
  return running(child)
}

/** The same below a limit on the size of files, which the system enforces as it does a full disk. */
export async function facetWithin(
  kibibytes: number,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const script = `ulimit -f ${kibibytes}; exec "$@"`
  const command = ['-c', script, 'bash', process.execPath, MAIN, ...args]
  return running(spawn('bash', command, { env: { ...process.env, ...env } }))
}

/** Options for Node with which these packages are not installed. */
export function withoutPackages(...names: readonly string[]): string[] {
  const hook = `import Module, { registerHooks } from 'node:module'
    const check = (asked) => {
      if (${JSON.stringify(names)}.some((name) => asked === name || asked.startsWith(name + '/')))
        throw new Error('It is not installed.')
    }
    registerHooks({
      resolve(asked, context, next) {
        check(asked)
        return next(asked, context)
      },
    })
    // What createRequire resolves goes by no hook in Node.js 22.
    const resolve = Module._resolveFilename
    Module._resolveFilename = (asked, ...more) => {
      check(asked)
      return resolve(asked, ...more)
    }`
  return ['--import', `data:text/javascript,${encodeURIComponent(hook)}`]
}

async function running(child: ChildProcess): Promise<Ran> {
  const ended = once(child, 'exit')
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), ended])
  return { code: code as number | null, stdout, stderr }
}
