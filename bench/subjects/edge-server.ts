/** Facet's handler on Facet's Node.js server with every defence on, in front of a backend that computes nothing. */
import { createEdge, toApiKeys } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import type { Backend } from '../../src/types.ts'
import { serveSubject } from '../subject.ts'
import { cpuMs, heapBytes, INSTANT, KEY, PACED, tokens } from './paced.ts'

const backendOf = (id: string): Backend => ({
  name: 'tokens',
  model: { id },
  async *chat({ maxTokens = 0 }) {
    yield { type: 'start', id: 'chatcmpl-1', model: id, backend: 'tokens' }
    for await (const text of tokens(id, maxTokens)) yield { type: 'text', text }
    yield { type: 'finish', reason: 'stop', usage: { promptTokens: 5, completionTokens: maxTokens } }
  },
})

const app = createEdge({
  backends: [backendOf(INSTANT), backendOf(PACED)],
  keys: await toApiKeys(`bench:${KEY}`, 'KEY'),
  rates: { requestsPerMinute: 1e9, tokensPerMinute: 1e9 },
  limits: { promptCharacters: 10_000, outputTokens: 1_000, choices: 4 },
  log: (entry) => {
    JSON.stringify(entry)
  },
})

let server: Served | undefined
serveSubject({
  listen: async () => {
    server = await serve({ app, port: 0 })
    return [server.port]
  },
  heap: async () => [await heapBytes()],
  cpu: async () => [cpuMs()],
})
