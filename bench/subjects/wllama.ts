/** wllama, llama.cpp in WebAssembly, in a cross-origin isolated page of Chromium, on the same shape in Q4_0. */
import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { openBrowser } from '../../test/browser/chromium.ts'
import { argument, serveSubject, timed } from '../subject.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
}
const HEADERS = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}
const esm = dirname(fileURLToPath(import.meta.resolve('@wllama/wllama/esm/index.js')))

const server = createServer((request, response) => {
  const path = new URL(request.url!, 'http://localhost').pathname
  const file =
    path === '/'
      ? fileURLToPath(new URL('./wllama.html', import.meta.url))
      : path === '/model.gguf'
        ? argument(0)
        : join(esm, normalize(path))
  const size = statSync(file, { throwIfNoEntry: false })?.size
  if (size === undefined) {
    response.writeHead(404).end()
    return
  }
  const type = TYPES[extname(file)] ?? 'application/octet-stream'
  response.writeHead(200, { ...HEADERS, 'content-type': type, 'content-length': size })
  createReadStream(file).pipe(response)
})

let page: Page
let close = async (): Promise<void> => {}
let letter = 0

/** What wllama.html defines. */
interface Timings {
  readonly prompt_n: number
  readonly prompt_ms: number
  readonly predicted_n: number
  readonly predicted_ms: number
}

/** Every letter is a token: see gguf.ts. The prompt also has a beginning-of-text token and a leading space. */
const complete = (tokens: number, steps: number): Promise<Timings> =>
  page.evaluate(
    ([prompt, count]) =>
      (globalThis as unknown as { complete(p: string, n: number): Promise<Timings> }).complete(prompt, count),
    [String.fromCharCode(97 + letter).repeat(tokens - 2), steps] as const,
  )

serveSubject(
  {
    load: async () => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const open = await openBrowser()
      close = open.close
      page = await open.browser.newPage()
      page.setDefaultTimeout(0)
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
      await page.waitForFunction('globalThis.loadModel')
      return [await timed(() => page.evaluate(`loadModel(${availableParallelism()})`))]
    },
    /** Tokens that were computed, and milliseconds. */
    prefill: async (count) => {
      letter++
      const { prompt_n, prompt_ms } = await complete(count!, 1)
      return [prompt_n, prompt_ms]
    },
    /** Milliseconds a token, mean of the steps, after the prompt of the last prefill. */
    decode: async (context, steps) => {
      // Its clock starts when the first token is there: n tokens are n - 1 steps.
      const { predicted_n, predicted_ms } = await complete(context!, steps! + 1)
      return [predicted_ms / (predicted_n - 1)]
    },
  },
  async () => {
    server.close()
    await close()
  },
)
