/** What workerd and its bundlers add to the web's own APIs, as far as the entries use it. */

declare module '*.wasm' {
  /** Compiled while the script was deployed. */
  const module: WebAssembly.Module
  export default module
}

declare module 'cloudflare:workers' {
  /** Extends the life of the request that is being handled, by at most 30 s after its answer. */
  export function waitUntil(work: Promise<unknown>): void
}
