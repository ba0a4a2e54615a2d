/** Opens the page in a tab of its own, in front of a backend that says what it is told. */
import type { Hono } from 'hono'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { createEdge, type EdgeOptions } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import { FakeBackend, type FakeOptions } from '../edge/fake-backend.ts'

export interface OpenPage {
  readonly page: Page
  readonly backend: FakeBackend
  readonly question: Locator
  /** Everything the page asked the network for, and whatever it complained about. */
  readonly requests: string[]
  readonly complaints: string[]
  ask(text: string): Promise<void>
  close(): Promise<void>
}

export interface OpenOptions {
  readonly fake?: FakeOptions
  readonly context?: BrowserContextOptions
  readonly edge?: Partial<EdgeOptions>
  /** Puts something in front of the edge. */
  readonly wrap?: (edge: Hono) => { readonly fetch: (request: Request) => Response | Promise<Response> }
}

export async function openPage(browser: Browser, options: OpenOptions = {}): Promise<OpenPage> {
  const { fake = {}, context = {}, edge = {}, wrap = (app) => app } = options
  const backend = new FakeBackend(fake)
  const served: Served = await serve({ app: wrap(createEdge({ backends: [backend], ...edge })), port: 0 })
  const tab = await browser.newContext(context)
  const page = await tab.newPage()
  page.setDefaultTimeout(15_000)
  const requests: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => requests.push(request.url().replace(served.url, '')))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => complaints.push(message.text()))
  await page.goto(served.url)
  const question = page.getByLabel('Your question')
  const ask = async (text: string): Promise<void> => {
    await question.fill(text)
    await page.locator('#send:enabled').waitFor()
    await question.press('Enter')
  }
  const close = async (): Promise<void> => {
    await tab.close()
    await served.close(0)
  }
  return { page, backend, question, requests, complaints, ask, close }
}

export const answers = (page: Page): Locator => page.locator('.answer')
/** Lines below answers that are over. */
export const facts = (page: Page): Locator => page.locator('.facts:not([hidden])')
