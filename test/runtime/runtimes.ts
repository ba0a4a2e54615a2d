/** The runtimes that run TypeScript as it stands, and how each is started. */
import { fileURLToPath } from 'node:url'

export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url))

const bin = (name: string): string => `${ROOT}node_modules/.bin/${name}`
const DENO_FLAGS = ['--node-modules-dir=manual', '--allow-read', '--allow-sys', '--allow-env', '--allow-net']

export interface Runtime {
  readonly name: string
  /** The name of its file in src/edge/entry. */
  readonly entry: string
  readonly command: readonly [string, ...string[]]
}

export const RUNTIMES: readonly Runtime[] = [
  { name: 'Node', entry: 'node', command: [process.execPath] },
  { name: 'Deno', entry: 'deno', command: [bin('deno'), 'run', ...DENO_FLAGS] },
  { name: 'Bun', entry: 'bun', command: [bin('bun'), 'run'] },
]
