/** Asks a handler in process, and reads what comes back. */
import type { Hono } from 'hono'
import type { Message } from '../../src/types.ts'

export const CHAT = '/v1/chat/completions'
export const COMPLETIONS = '/v1/completions'
export const HELLO: { readonly messages: readonly Message[] } = {
  messages: [{ role: 'user', content: 'Hello' }],
}

export type Json = ReturnType<typeof JSON.parse>

export async function post(
  app: Hono,
  path: string,
  body: unknown,
  init: RequestInit = {},
): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return app.request(path, { method: 'POST', body: text, ...init })
}

/** The `data:` lines of a stream, parsed; `[DONE]` stays text. */
export async function frames(response: Response): Promise<Json[]> {
  return (await response.text())
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => {
      if (!frame.startsWith('data: ') || frame.includes('\n')) throw new Error(`not a data frame: ${frame}`)
      const data = frame.slice('data: '.length)
      return data === '[DONE]' ? data : JSON.parse(data)
    })
}
