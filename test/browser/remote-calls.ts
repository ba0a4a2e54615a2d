/** A page's or service worker's side of the calls that a test makes there. */

/** Errors as plain data, for the test to compare. */
export interface Failure {
  readonly code: string
  readonly message: string
}

export const failureOf = (error: unknown): Failure => {
  const { code = 'none', message } = error as Partial<Failure> & Error
  return { code, message }
}

/** A call from the test by way of the page, where there is a service worker. */
interface RemoteCall {
  readonly name: string
  readonly parameters: readonly unknown[]
}

/** Puts the functions where site.ts looks for them. */
export function answerRemoteCalls(api: object): void {
  Object.assign(globalThis, { testPage: api })
  addEventListener('message', async ({ data, ports: [port] }: MessageEvent<RemoteCall>) => {
    if (!port) return
    const call = (api as Record<string, (...parameters: readonly unknown[]) => unknown>)[data.name]!
    port.postMessage(await call(...data.parameters))
  })
}
