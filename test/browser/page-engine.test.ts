import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { files as bundle } from '../../src/edge/page/bundle.gen.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { type OpenBrowser, openBrowser } from './chromium.ts'
import { answers, facts, openPage } from './open-page.ts'

let chromium: OpenBrowser
const closers: (() => Promise<unknown>)[] = []
const files = filesFromDirectory(fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url)))

beforeAll(async () => {
  chromium = await openBrowser()
})
afterAll(() => chromium?.close())
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

describe('the model in the page', () => {
  it('is loaded when asked for, answers without the server, and its figures are drawn', async () => {
    const { page, backend, requests, complaints, ask, close } = await openPage(chromium.browser, {
      edge: { files },
    })
    closers.push(close)
    await page.locator('header').getByRole('button', { name: 'Settings' }).click()
    await page.getByLabel('This page, on WebAssembly').check()
    await page.getByText('MB will be fetched from the server').waitFor()
    expect(requests.filter((path) => path.endsWith('model.onnx_data'))).toEqual([])
    await page.getByRole('button', { name: 'Load the model' }).click()
    await page.getByText('facet-tldr-24m is loaded.').waitFor()
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
    await page.getByRole('radio', { name: 'JSON' }).check()
    await page.getByLabel('Longest answer').fill('8')
    await ask('How do I find files by name?')
    await facts(page).waitFor()
    expect(await answers(page).textContent()).toMatch(/^\{/)
    await page.getByRole('button', { name: 'Back to the defaults' }).click()
    await page.getByRole('button', { name: 'New chat' }).click()
    await page.context().setOffline(true)
    await ask('How do I find files by name?')
    await facts(page).waitFor()
    expect(await answers(page).textContent()).toBe("find . -name '*.txt'")
    expect(backend.requests).toEqual([])
    await page.locator('header').getByRole('button', { name: 'Live figures' }).click()
    const tile = page.locator('.figure').filter({ hasText: 'Time to first token' })
    await tile.locator('.value').filter({ hasText: /\d/ }).waitFor()
    expect(await tile.locator('.line').getAttribute('d')).toMatch(/^M[\d.]+ /)
    await page.locator('header').getByRole('button', { name: 'Code' }).click()
    await page.getByRole('radio', { name: 'gemfacet' }).check()
    await page.locator('#snippet').getByText('gemfacet/engine/browser').waitFor()
    expect(complaints).toEqual([])
  })

  it('is fetched once: afterwards the browser has it, until it is told to remove it', async () => {
    const { page, requests, close } = await openPage(chromium.browser, { edge: { files } })
    closers.push(close)
    const weights = (): number => requests.filter((path) => path.endsWith('model.onnx_data')).length
    const choose = async (): Promise<void> => {
      await page.locator('header').getByRole('button', { name: 'Settings' }).click()
      await page.getByLabel('This page, on WebAssembly').check()
    }
    await choose()
    await page.getByRole('button', { name: 'Load the model' }).click()
    await page.getByText('facet-tldr-24m is loaded.').waitFor()
    const once = weights()
    expect(once).toBeGreaterThan(0)
    await page.reload()
    await choose()
    await page.getByText('The model is kept in this browser').waitFor()
    await page.getByRole('button', { name: 'Load the model' }).click()
    await page.getByText('facet-tldr-24m is loaded.').waitFor()
    expect(weights()).toBe(once)
    await page.reload()
    await choose()
    await page.getByRole('button', { name: 'Remove it from this browser' }).click()
    await page.getByText('will be fetched from the server').waitFor()
  })

  it('is not offered where the server keeps its files, and the page says so', async () => {
    const { page, complaints, close } = await openPage(chromium.browser)
    closers.push(close)
    await page.locator('header').getByRole('button', { name: 'Settings' }).click()
    await page.getByText("This server does not offer the model's files.").first().waitFor()
    expect(await page.getByLabel('This page, on WebAssembly').isDisabled()).toBe(true)
    expect(complaints).toEqual([])
  })
})

describe("the page's size", () => {
  /** A script and everything it imports before it runs. */
  const closure = (name: string, seen: Set<string> = new Set()): Set<string> => {
    if (seen.has(name)) return seen
    seen.add(name)
    const imports = bundle[name]!.text.matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g)
    for (const [, next] of imports) closure(next!, seen)
    return seen
  }
  const compressedBytes = (names: Iterable<string>): number =>
    gzipSync([...names].map((name) => bundle[name]!.text).join('')).byteLength

  it('stays under 40 kB compressed until the engine is asked for, and under 150 kB with its scripts', () => {
    expect(compressedBytes([...closure('main.js'), 'page.css', 'index.html'])).toBeLessThan(40_000)
    // The engine's own share: all scripts without the kernels, which are the long strings of base64.
    const scripts = Object.entries(bundle).filter(([name]) => name.endsWith('.js'))
    const plain = scripts.map(([, { text }]) => text.replaceAll(/["'`][A-Za-z0-9+/=]{4000,}["'`]/g, '""'))
    expect(gzipSync(plain.join('')).byteLength).toBeLessThan(150_000)
  })
})
