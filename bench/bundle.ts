/** A subject as plain JavaScript, as the installed package is: what strips Node's types would count as its memory. */
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

/**
 * Bundles a file of subjects/ with all it imports into a folder.
 *
 * @returns the bundle's address
 */
export async function bundleSubject(name: string, folder: string): Promise<URL> {
  const outfile = join(folder, `${name}.mjs`)
  await build({
    entryPoints: [fileURLToPath(new URL(`./subjects/${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'es2024',
    logLevel: 'warning',
  })
  return pathToFileURL(outfile)
}
