/** src/ and deploy/ stand side by side; built, deploy/ stands in dist/ among the rooms of src/. */
import { posix } from 'node:path'

/** Where a file of the repository is built to, relative to dist/: `src/cli/main.js` becomes `cli/main.js`. */
export function builtPath(file: string): string {
  return file.replace(/^src\//, '')
}

/**
 * Rewrites the relative imports of a compiled file, so that they hold from where it is put.
 *
 * @param file its path as compiled, such as `src/cli/plan.js` or `deploy/plan.d.ts`
 */
export function relocate(source: string, file: string): string {
  const from = posix.dirname(file)
  return source.replaceAll(
    /((?:from|import)\s*\(?\s*)(["'])(\.\.?\/[^"']*)\2/g,
    (whole, before: string, quote: string, specifier: string) => {
      const target = posix.join(from, specifier)
      if (!/^(?:src|deploy)\//.test(target)) return whole
      const path = posix.relative(builtPath(`${from}/`), builtPath(target))
      return `${before}${quote}${path.startsWith('.') ? path : `./${path}`}${quote}`
    },
  )
}
