/** The same suite in Chromium: in a page, in a Web Worker, and in a service worker without any server. */
import type { BrowserContext, CDPSession } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { behavesAlike } from '../runtime/suite.ts'
import { type OpenBrowser, openBrowser } from './chromium.ts'
import type { RuntimePage } from './runtime-page.ts'
import { openSite, type Site } from './site.ts'
import { openSitePage, type SitePage } from './site-page.ts'

let chromium: OpenBrowser
let site: Site
beforeAll(async () => {
  const scripts = ['runtime-page.ts', 'service-worker.ts']
  site = await openSite({ scripts, models: { model: MODEL_DIRECTORY } })
  chromium = await openBrowser()
})
afterEach(() => {
  site.asked.length = 0
  site.fault = undefined
})
afterAll(async () => {
  await chromium?.close()
  site?.close()
})

describe.each([
  ['in a page', 'loadHere', '/'],
  ['in a Web Worker with threads', 'load', '/'],
  ['in a Web Worker of a page that is not isolated', 'load', '/plain/'],
] as const)('Facet in Chromium, %s', (_, load, path) => {
  let context: BrowserContext
  let opened: SitePage<RuntimePage>
  beforeAll(async () => {
    context = await chromium.browser.newContext()
    opened = await openSitePage<RuntimePage>(context, site, path)
    await opened.call(load, 'model')
  })
  afterAll(() => context?.close())

  behavesAlike(() => (asked) => opened.call('ask', asked))
})

describe('Facet in Chromium, in a service worker', () => {
  let context: BrowserContext
  let opened: SitePage<RuntimePage>
  let session: CDPSession
  beforeAll(async () => {
    context = await chromium.browser.newContext()
    opened = await openSitePage<RuntimePage>(context, site)
    session = await context.newCDPSession(opened.page)
    await opened.call('startServiceWorker', 'service-worker.js')
    await vi.waitUntil(async () => (await models()) === 200, { timeout: 30_000 })
  })
  afterAll(() => context?.close())

  const models = async (): Promise<number> => (await opened.call('askSite', { path: '/v1/models' })).status

  behavesAlike(() => (asked) => opened.call('askSite', asked))

  it('is ended when idle, and answers again with the model it has kept', async () => {
    site.asked.length = 0
    await session.send('ServiceWorker.enable')
    await session.send('ServiceWorker.stopAllWorkers')
    expect(await models()).toBe(200)
    // Started anew, it looks whether the manifest has changed, and fetches nothing else.
    expect(site.asked).toEqual(['facet.json'])
  })

  it('answers without any network once the model is kept', async () => {
    await session.send('ServiceWorker.stopAllWorkers')
    site.fault = (_, request) => {
      request.socket.destroy()
      return true
    }
    const body = { messages: [{ role: 'user', content: 'How do I find files by name?' }], temperature: 0 }
    const { status, text } = await opened.call('askSite', { path: '/v1/chat/completions', body })
    expect(status).toBe(200)
    expect(text).toContain('find . -name')
  })

  it('leaves other requests to the network', async () => {
    expect((await opened.call('askSite', { path: '/' })).text).toContain('runtime-page.js')
  })

  it('says how far the model is while it is fetched for the first time', async () => {
    const fresh = await chromium.browser.newContext()
    let finish = (): void => {}
    site.fault = (path, _, response) => {
      if (path !== 'model.onnx_data') return false
      finish = () => response.destroy()
      response.writeHead(200, { 'content-length': 14_214_656 }).write(Buffer.alloc(1_000_000))
      return true
    }
    const first = await openSitePage<RuntimePage>(fresh, site)
    await first.call('startServiceWorker', 'service-worker.js')
    await expect
      .poll(async () => (await first.call('askSite', { path: '/v1/models' })).text, { timeout: 30_000 })
      .toMatch(/still being fetched \(1\.\d+ MB of 15\.1 MB\); try again soon/)
    expect((await first.call('askSite', { path: '/v1/models' })).status).toBe(503)
    finish()
    await fresh.close()
  })
})
