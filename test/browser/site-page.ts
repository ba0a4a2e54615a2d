/** Pages of a Site, and calls of what their script has put into `testPage`. */
import type { BrowserContext, Page } from 'playwright-core'
import type { Site } from './site.ts'

/** Functions of a page's script that take and give plain data. */
type Calls<Api> = { readonly [Name in keyof Api]: (...parameters: never[]) => unknown }

export type Call<Api extends Calls<Api>> = <Name extends keyof Api>(
  name: Name,
  ...parameters: Parameters<Api[Name]>
) => Promise<Awaited<ReturnType<Api[Name]>>>

export interface SitePage<Api extends Calls<Api>> {
  readonly page: Page
  readonly call: Call<Api>
  /** Whatever the page wrote to its console. */
  readonly complaints: string[]
}

export async function openSitePage<Api extends Calls<Api>>(
  context: BrowserContext,
  site: Site,
  path = '/',
): Promise<SitePage<Api>> {
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => complaints.push(message.text()))
  await page.goto(site.origin + path) // waits for the page's script
  const call: Call<Api> = (name, ...parameters) =>
    page.evaluate(
      ([name, parameters]) => {
        const { testPage } = globalThis as unknown as {
          testPage: Record<string, (...all: unknown[]) => unknown>
        }
        return testPage[name]!(...parameters)
      },
      [name as string, parameters as readonly unknown[]] as const,
    ) as never
  return { page, call, complaints }
}

/** The same calls, made in a service worker of the page, whose script is `script` and calls answerRemoteCalls. */
export async function openServiceWorker<Api extends Calls<Api>>(
  { page }: Pick<SitePage<Api>, 'page'>,
  script: string,
): Promise<Call<Api>> {
  await page.evaluate(async (script) => {
    await navigator.serviceWorker.register(script, { type: 'module', scope: './' })
    await navigator.serviceWorker.ready
  }, script)
  return (name, ...parameters) =>
    page.evaluate(
      async ([name, parameters]) => {
        const { active } = await navigator.serviceWorker.ready
        const { port1, port2 } = new MessageChannel()
        const answered = new Promise<unknown>((resolve) => {
          port1.onmessage = ({ data }) => resolve(data)
        })
        active!.postMessage({ name, parameters }, [port2])
        return answered
      },
      [name as string, parameters as readonly unknown[]] as const,
    ) as never
}
