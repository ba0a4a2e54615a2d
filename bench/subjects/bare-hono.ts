/** The least a streaming server on Hono does: reads JSON, writes the same events as Facet, defends nothing. */
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { serveSubject } from '../subject.ts'
import { cpuMs, heapBytes, tokens } from './paced.ts'

const app = new Hono()
app.post('/v1/chat/completions', async (c) => {
  const { model, max_tokens: count } = await c.req.json()
  const toChunk = (delta: object, reason: string | null): string =>
    JSON.stringify({
      id: 'chatcmpl-0123456789abcdef01234567',
      object: 'chat.completion.chunk',
      created: 1_700_000_000,
      model,
      system_fingerprint: 'fp_01234567',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }],
    })
  return streamSSE(c, async (stream) => {
    await stream.writeSSE({ data: toChunk({ role: 'assistant', content: '', refusal: null }, null) })
    for await (const content of tokens(model, count)) {
      await stream.writeSSE({ data: toChunk({ content }, null) })
    }
    await stream.writeSSE({ data: toChunk({}, 'stop') })
    await stream.writeSSE({ data: '[DONE]' })
  })
})

const server = createAdaptorServer({ fetch: app.fetch })
serveSubject({
  listen: async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return [(server.address() as AddressInfo).port]
  },
  heap: async () => [await heapBytes()],
  cpu: async () => [cpuMs()],
})
