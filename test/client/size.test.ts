import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, it } from 'vitest'

/** Bytes of everything an entry exports: bundled, minified, gzipped. */
async function sizeOf(entry: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../../src/${entry}`, import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2024',
    write: false,
  })
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length
}

it.each([
  ['index.ts', 8000],
  ['route/index.ts', 8000],
  ['client/typed.ts', 3000],
])('%s stays within %i bytes, gzipped', async (entry, most) => {
  const bytes = await sizeOf(entry)
  expect(bytes).toBeLessThanOrEqual(most)
  // A bundle that lost its content would pass, too.
  expect(bytes).toBeGreaterThan(most / 4)
})
