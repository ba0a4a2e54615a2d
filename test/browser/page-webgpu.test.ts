import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { type OpenBrowser, openBrowser, SOFTWARE_WEBGPU } from './chromium.ts'
import { answers, facts, openPage } from './open-page.ts'

/** Chromium compiles every shader for a graphics adapter made of software. */
const SLOW_MS = 120_000

let chromium: OpenBrowser

beforeAll(async () => {
  chromium = await openBrowser(SOFTWARE_WEBGPU)
})
afterAll(() => chromium?.close())

it(
  'the page computes on WebGPU what the server would answer',
  async () => {
    const files = filesFromDirectory(fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url)))
    const { page, backend, ask, close } = await openPage(chromium.browser, { edge: { files } })
    try {
      page.setDefaultTimeout(SLOW_MS)
      await page.locator('header').getByRole('button', { name: 'Settings' }).click()
      await page.getByLabel('This page, on WebGPU').check()
      await page.getByRole('button', { name: 'Load the model' }).click()
      await page.getByText('facet-tldr-24m is loaded.').waitFor()
      await page.getByLabel('Longest answer').fill('4')
      await ask('How do I find files by name?')
      await facts(page).waitFor()
      expect(await answers(page).textContent()).toMatch(/^`find \. -/)
      expect(backend.requests).toEqual([])
      await page.locator('header').getByRole('button', { name: 'Live figures' }).click()
      await page.getByText(/from this page on WebGPU, which computes with webgpu/).waitFor()
    } finally {
      await close()
    }
  },
  SLOW_MS,
)

it('the page says in its own words that there is no graphics adapter', async () => {
  const files = filesFromDirectory(fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url)))
  const plain = await openBrowser(['--disable-gpu'])
  const { page, close } = await openPage(plain.browser, { edge: { files } })
  try {
    await page.locator('header').getByRole('button', { name: 'Settings' }).click()
    await page.getByLabel('This page, on WebGPU').check()
    await page.getByRole('button', { name: 'Load the model' }).click()
    await page.getByText('no graphics adapter; choose WebAssembly').waitFor()
  } finally {
    await close()
    await plain.close()
  }
})
