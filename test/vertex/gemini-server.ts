/** Gemini through Google's own library, which asks a server on loopback. */
import { afterAll, beforeAll, vi } from 'vitest'
import type { Backend } from '../../src/types.ts'
import { createGemini } from '../../src/vertex/gemini.ts'
import type { Answer, FakeGoogle } from '../google/fake-google.ts'

const realFetch = globalThis.fetch

/** For all tests of a file: the library writes https:// before every host, and announces its retirement in each process. */
export function reachLoopback(): void {
  beforeAll(() => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    vi.stubGlobal('fetch', (url: string, init?: RequestInit) =>
      realFetch(url.replace('https://127.', 'http://127.'), init),
    )
  })
  afterAll(() => {
    vi.unstubAllGlobals()
    vi.restoreAllMocks()
  })
}

/** @param own options other than those of every test */
export const geminiAt = (google: FakeGoogle, own: object = {}): Backend =>
  createGemini({
    project: 'facet-test',
    location: 'europe-west4',
    model: 'gemini-2.5-pro',
    apiEndpoint: new URL(google.url).host,
    auth: { token: async () => 'ya29.token', refused: () => {} },
    ...own,
  })

/** A piece of a stream, with one candidate. */
export const piece = (own: object, more: object = {}): string =>
  `data: ${JSON.stringify({ candidates: [{ index: 0, ...own }], ...more })}\r\n\r\n`
export const modelSaid = (text: string): object => ({ content: { role: 'model', parts: [{ text }] } })
export const sse = (...pieces: string[]): Answer => ({
  text: pieces.join(''),
  headers: { 'content-type': 'text/event-stream' },
})
