/** Pages of a Site, and calls of what runtime-page.ts has in them. */
import type { BrowserContext, Page } from 'playwright-core'
import type { RuntimePage } from './runtime-page.ts'
import type { Site } from './site.ts'

export type Call = <Name extends keyof RuntimePage>(
  name: Name,
  ...parameters: Parameters<RuntimePage[Name]>
) => Promise<Awaited<ReturnType<RuntimePage[Name]>>>

export interface OpenPage {
  readonly page: Page
  readonly call: Call
  /** Whatever the page wrote to its console. */
  readonly complaints: string[]
}

export async function openPage(context: BrowserContext, site: Site, path = '/'): Promise<OpenPage> {
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => complaints.push(message.text()))
  await page.goto(site.origin + path) // waits for the page's script
  const call: Call = (name, ...parameters) =>
    page.evaluate(
      ([name, parameters]) =>
        ((globalThis as unknown as { runtime: RuntimePage }).runtime[name] as (...all: unknown[]) => unknown)(
          ...parameters,
        ),
      [name, parameters] as const,
    ) as never
  return { page, call, complaints }
}
