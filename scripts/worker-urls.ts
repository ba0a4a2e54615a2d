/** Worker scripts are named by literals, for bundlers to find them: `.ts` in the source, `.js` once built. */

/** `new URL('./worker.ts', import.meta.url)` becomes `new URL('./worker.js', import.meta.url)`. */
export function toBuiltWorkerUrls(source: string): string {
  return source.replaceAll(/(new URL\((["'])\.[^"']*)\.ts(\2,\s*import\.meta\.url\))/g, '$1.js$3')
}
