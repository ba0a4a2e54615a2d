/** Models in the browser's storage: fetched once, resumed, verified, refused, repaired. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/gemma/manifest.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { type OpenBrowser, openBrowser } from './chromium.ts'
import type { RuntimePage } from './runtime-page.ts'
import { openSite, type Site } from './site.ts'
import { openSitePage } from './site-page.ts'

const MANIFEST = JSON.parse(readFileSync(join(MODEL_DIRECTORY, 'facet.json'), 'utf8')) as Manifest
const SERVED = ['config.json', 'generation_config.json', 'tokenizer.json', 'model.onnx', 'model.onnx_data']
const DATA = MANIFEST.files.find(({ path }) => path === 'model.onnx_data')!

let chromium: OpenBrowser
let site: Site
let context: BrowserContext
beforeAll(async () => {
  site = await openSite({ scripts: ['runtime-page.ts'], models: { model: MODEL_DIRECTORY } })
  chromium = await openBrowser()
})
beforeEach(async () => {
  context = await chromium.browser.newContext()
  site.asked.length = 0
  site.fault = undefined
})
afterEach(() => context.close())
afterAll(async () => {
  await chromium?.close()
  site?.close()
})

const open = () => openSitePage<RuntimePage>(context, site)

describe('a model in the browser', () => {
  it('is fetched once, with its progress told, and its manifest kept last', async () => {
    const { call } = await open()
    const first = await call('load', 'model')
    expect(first.download.at(-1)).toBe(1)
    expect(first.memory).toEqual([])
    expect(site.asked).toEqual(['facet.json', ...SERVED])
    expect(await call('storeKind')).toBe('opfs')
    const names = Object.keys(await call('kept'))
    expect(names.filter((name) => name.endsWith('.json'))).toHaveLength(1)
    expect(names.filter((name) => name.endsWith('.part'))).toEqual([])
    expect(names).toContain(DATA.chunks[0])

    site.asked.length = 0
    const { call: callAgain } = await open()
    const second = await callAgain('load', 'model')
    expect(second.download).toEqual([])
    expect(second.memory.at(-1)).toBe(1)
    expect(site.asked).toEqual(['facet.json'])
  })

  it('whose tab is closed in the middle of a file keeps what had come, and fetches the rest', async () => {
    site.fault = (path, _, response) => {
      if (path !== DATA.path) return false
      response.writeHead(200, { 'content-length': DATA.sizeBytes }).write(Buffer.alloc(5_000_000))
      return true
    }
    const { page, call } = await open()
    const loading = call('load', 'model').catch(() => {})
    await expect.poll(() => site.asked).toContain(DATA.path)
    await page.close()
    await loading
    site.fault = undefined
    site.asked.length = 0
    const { call: callAgain } = await open()
    expect(Object.keys(await callAgain('kept')).filter((name) => name.endsWith('.json'))).toEqual([])
    const { download } = await callAgain('load', 'model')
    expect(site.asked).toEqual(['facet.json', DATA.path])
    expect(download[0]).toBeLessThan(0.2)
    expect(download.at(-1)).toBe(1)
  })

  it.each([
    ['overwritten', 0],
    ['cut short', 1000],
  ])('that was %s in the storage is found out and fetched anew', async (_, missingBytes) => {
    const { call } = await open()
    await call('load', 'model')
    await call('poison', DATA.chunks[0]!, missingBytes)
    site.asked.length = 0
    await call('load', 'model')
    expect(site.asked.filter((path) => path !== 'facet.json')).toEqual([DATA.path])
    const body = { messages: [{ role: 'user', content: 'How do I find files by name?' }], temperature: 0 }
    const { text } = await call('ask', { path: '/v1/chat/completions', body })
    expect(text).toContain("`find . -name '*.txt'`")
  })

  it('whose kept manifest was overwritten is none the worse', async () => {
    const { call } = await open()
    await call('load', 'model')
    const [name] = Object.keys(await call('kept')).filter((each) => each.endsWith('.json'))
    await call('poison', name!)
    site.asked.length = 0
    await call('load', 'model')
    expect(site.asked).toEqual(['facet.json'])
  })

  it('that the browser has no room for is refused with the figures, before anything is fetched', async () => {
    const { page, call } = await open()
    const session = await context.newCDPSession(page)
    await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: 3_000_000 })
    expect(await call('failureToLoad', 'model')).toEqual({
      code: 'io_failed',
      message: `${site.origin}/model needs 15.1 MB of the browser's storage, which it refuses; free some, or load it with keep: false.`,
    })
    expect(site.asked).toEqual(['facet.json'])
    await call('load', 'model', { keep: false })
    expect(await call('kept')).toEqual({})
  })

  it('is not kept, and the fault named, when the network sends something else', async () => {
    site.fault = (path, _, response) => {
      if (path !== DATA.path) return false
      response.writeHead(200).end(Buffer.alloc(DATA.sizeBytes))
      return true
    }
    const { call } = await open()
    expect(await call('failureToLoad', 'model')).toMatchObject({
      code: 'checksum_mismatch',
      message: expect.stringContaining(`${DATA.path} in ${site.origin}/model is corrupt between bytes 0 and`),
    })
    expect(Object.keys(await call('kept'))).not.toContain(DATA.chunks[0])
  })

  it('is kept in Cache storage where files of OPFS cannot be written', async () => {
    // As in Safari before 26.
    await context.addInitScript('delete FileSystemFileHandle.prototype.createWritable')
    const { call } = await open()
    await call('loadHere', 'model')
    expect(await call('storeKind')).toBe('cache')
    await call('poison', DATA.chunks[0]!)
    site.asked.length = 0
    await call('loadHere', 'model')
    expect(site.asked.filter((path) => path !== 'facet.json')).toEqual([DATA.path])
    site.asked.length = 0
    const { memory } = await call('loadHere', 'model')
    expect(memory.at(-1)).toBe(1)
    expect(site.asked).toEqual(['facet.json'])
  })

  it('frees its space when it is forgotten', async () => {
    const { call } = await open()
    await call('load', 'model')
    await call('forget', 'model')
    expect(await call('kept')).toEqual({})
  })

  it('that is refused for its options is not fetched', async () => {
    const { call } = await open()
    expect(await call('failureToLoad', 'model', { memoryBytes: 20e6 })).toMatchObject({
      code: 'out_of_memory',
      message: expect.stringMatching(/^facet-tldr-24m needs \d+(?:\.\d)? MB \(weights 13\.7 MB/),
    })
    expect(await call('failureToLoad', 'model', { contextTokens: 9999 })).toMatchObject({
      code: 'invalid_request',
    })
    expect(site.asked).not.toContain(DATA.path)
  })

  it('says that one thread computes where pages are not isolated, and how that is changed', async () => {
    const { call } = await openSitePage<RuntimePage>(context, site, '/plain/')
    const { notices } = await call('load', 'model')
    expect(notices.join('\n')).toContain('not cross-origin isolated')
    const isolated = await (await open()).call('load', 'model')
    expect(isolated.notices.join('\n')).not.toContain('isolated')
  })
})
