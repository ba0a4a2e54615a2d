/** What servers.test.ts runs under each runtime: serves the shipped model until its input ends. */
import { createEdge } from '../../src/edge/app.ts'
import type { Served, ServeOptions } from '../../src/edge/entry/served.ts'
import { loadEngine } from '../../src/engine/node.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { ENGINE } from './engine-options.ts'

const [entry = ''] = process.argv.slice(2)
const { serve }: { serve: (options: ServeOptions) => Promise<Served> } = await import(
  `../../src/edge/entry/${entry}.ts`
)
const engine = await loadEngine(MODEL_DIRECTORY, { ...ENGINE, threads: 1 })
const { url, port, close } = await serve({ app: createEdge({ backends: [engine] }), port: 0 })
const taken = await serve({ app: createEdge({ backends: [engine] }), port }).then(
  () => 'none',
  ({ code }) => code,
)
console.log(JSON.stringify({ url, taken }))
process.stdin.resume().on('end', async () => {
  await close()
  await engine.close()
  console.log('closed')
  process.exit()
})
