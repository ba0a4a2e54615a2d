/** Runs `facet serve` as a process of its own, and stops it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { MAIN } from './facet.ts'

export interface Run {
  readonly child: ChildProcess
  /** Everything standard output said up to and with this text. */
  readonly said: (until: string) => Promise<string>
  readonly ended: Promise<{ code: number | null; out: string; err: string }>
}

export function facet(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const { PORT: _, FACET_HOST: __, ...inherited } = process.env
  const child = spawn(process.execPath, [MAIN, 'serve', ...args], {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk
  })
  const err = text(child.stderr)
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  return {
    child,
    ended: exited.then(async (code) => ({ code, out, err: await err })),
    said: (until) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (out.includes(until)) resolve(out)
        }
        child.stdout.on('data', look)
        exited.then(async (code) =>
          reject(new Error(`ended with ${code} before saying ${until}: ${await err}`)),
        )
        look()
      }),
  }
}

export const addressIn: (out: string) => string = (out) => /at (http:\/\/\S+:\d+)\n/.exec(out)![1]!

export async function stop({ child, ended }: Run): Promise<number | null> {
  child.kill('SIGINT')
  return (await ended).code
}
