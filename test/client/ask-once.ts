/** One chat with a server of another protocol, played by one answer. */
import { createClient } from '../../src/client/http.ts'
import type { ClientOptions } from '../../src/client/options.ts'
import type { ChatEvent, ChatRequest } from '../../src/types.ts'
import { type Call, fakeFetch } from './fake-server.ts'

export interface Asked {
  readonly events: readonly ChatEvent[]
  readonly calls: readonly Call[]
}

export async function askOnce(
  options: (fetch: typeof globalThis.fetch) => ClientOptions,
  answer: Response,
  request: ChatRequest,
): Promise<Asked> {
  const { fetch, calls } = fakeFetch(() => answer)
  const events: ChatEvent[] = []
  for await (const event of createClient(options(fetch)).chat(request)) events.push(event)
  return { events, calls }
}
