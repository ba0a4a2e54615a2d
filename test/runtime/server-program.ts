/** What servers.test.ts runs under each runtime: serves the shipped model until it is told to end. */
import { createInterface } from 'node:readline'
import { createEdge } from '../../src/edge/app.ts'
import type { Served, ServeOptions } from '../../src/edge/entry/served.ts'
import { loadEngine } from '../../src/engine/node.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { ENGINE } from './engine-options.ts'

/** What it says first. */
export interface Opened {
  readonly url: string
  /** Of a second server, with the same handler. */
  readonly otherUrl: string
  /** The code of the error for a port that is in use. */
  readonly taken: string
}

const [entry = ''] = process.argv.slice(2)
const { serve }: { serve: (options: ServeOptions) => Promise<Served> } = await import(
  `../../src/edge/entry/${entry}.ts`
)
const engine = await loadEngine(MODEL_DIRECTORY, { ...ENGINE, threads: 1 })
const app = createEdge({ backends: [engine] })
const server = await serve({ app, port: 0 })
const other = await serve({ app, port: 0 })
const taken = await serve({ app, port: server.port }).then(
  () => 'none',
  ({ code }) => code,
)
console.log(JSON.stringify({ url: server.url, otherUrl: other.url, taken } satisfies Opened))
for await (const order of createInterface({ input: process.stdin })) {
  if (order === 'close') await server.close()
  if (order === 'cut') await other.close(0)
  console.log(`done: ${order}`)
}
await engine.close()
process.exit()
