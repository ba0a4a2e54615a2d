/** A report opened from a file, with all that it asks for and all that goes wrong in it. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'

export interface OpenedReport extends AsyncDisposable {
  readonly page: Page
  /** What the page asked for, and what went wrong in it. */
  readonly requests: string[]
  readonly faults: string[]
}

export async function openReport(
  browser: Browser,
  address: string,
  options: BrowserContextOptions = {},
): Promise<OpenedReport> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const requests: string[] = []
  const faults: string[] = []
  page.on('request', (request) => void requests.push(request.url()))
  page.on('pageerror', (error) => void faults.push(error.message))
  page.on('console', (message) => void faults.push(message.text()))
  await page.goto(address)
  return { page, requests, faults, [Symbol.asyncDispose]: () => context.close() }
}
