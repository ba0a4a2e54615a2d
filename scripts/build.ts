/** Builds what the repository does not hold: the kernels, the pages, then dist/ for installs. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { buildKernels } from './kernels.ts'
import { buildPages } from './page.ts'
import { builtPath, relocate } from './relocate.ts'
import { toBuiltWorkerUrls } from './worker-urls.ts'

const root = new URL('../', import.meta.url)

await buildKernels()
await buildPages()
rmSync(new URL('dist', root), { recursive: true, force: true })
execFileSync(new URL('node_modules/.bin/tsc', root).pathname, ['-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
for (const file of readdirSync(new URL('dist', root), { recursive: true, encoding: 'utf8' })) {
  if (!/\.(?:js|d\.ts)$/.test(file)) continue
  const path = new URL(`dist/${file}`, root)
  const text = readFileSync(path, 'utf8')
  const relocated = relocate(text, file.split('\\').join('/'))
  if (relocated !== text) writeFileSync(path, relocated)
}
for (const name of readdirSync(new URL('dist/src', root)))
  renameSync(new URL(`dist/src/${name}`, root), new URL(`dist/${builtPath(`src/${name}`)}`, root))
rmSync(new URL('dist/src', root), { recursive: true })
// tsc copies nothing.
const scripts = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
  .map((file) => file.split('\\').join('/'))
  .filter((file) => file.endsWith('.py'))
for (const file of ['engine/wasm/kernels-relaxed.wasm', ...scripts]) {
  mkdirSync(new URL(`dist/${file}/..`, root), { recursive: true })
  copyFileSync(new URL(`src/${file}`, root), new URL(`dist/${file}`, root))
}
// tsc rewrites the extensions of imports, but not those of worker scripts.
for (const file of readdirSync(new URL('dist', root), { recursive: true, encoding: 'utf8' })) {
  if (!file.endsWith('.js')) continue
  const path = new URL(`dist/${file}`, root)
  const text = readFileSync(path, 'utf8')
  const rewritten = toBuiltWorkerUrls(text)
  if (rewritten !== text) writeFileSync(path, rewritten)
}
chmodSync(new URL('dist/cli/main.js', root), 0o755)
linkBin()

/** So that `npx facet` in the clone finds the command beside the others, and with it the right Node.js. */
function linkBin(): void {
  const link = new URL('node_modules/.bin/facet', root)
  rmSync(link, { force: true })
  symlinkSync('../../dist/cli/main.js', link)
}
