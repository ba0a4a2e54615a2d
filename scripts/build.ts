/** Builds what the repository does not hold: the kernels, the page as one string of HTML, then dist/ for installs. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'
import { buildKernels } from './kernels.ts'
import { toBuiltWorkerUrls } from './worker-urls.ts'

const root = new URL('../', import.meta.url)
const page = new URL('src/edge/page/', root)

const bundle = async (entry: string): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [new URL(entry, page).pathname],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    logLevel: 'warning',
  })
  return outputFiles[0]!.text.trim()
}

const style = await bundle('page.css')
const html = readFileSync(new URL('index.html', page), 'utf8')
  .replace('<link rel="stylesheet" href="page.css">', () => `<style>${style}</style>`)
  .replace('<script type="module" src="main.ts"></script>', () => '')
const script = (await bundle('main.ts')).replaceAll('</script', '<\\/script')
const whole = html.replace('</body>', () => `<script type="module">${script}</script></body>`)

const generated = new URL('bundle.gen.ts', page)
const exported = { html: whole, scriptHash: toHash(script), styleHash: toHash(style) }
const source = Object.entries(exported).reduce(
  (text, [name, value]) => `${text}export const ${name}: string = ${JSON.stringify(value)}\n`,
  '/** Made by scripts/build.ts from this folder: the page, and what its content security policy allows. */\n',
)
// Left alone when nothing changed: tests that import it may be running.
if (!existsSync(generated) || readFileSync(generated, 'utf8') !== source) writeFileSync(generated, source)

await buildKernels()
rmSync(new URL('dist', root), { recursive: true, force: true })
execFileSync(new URL('node_modules/.bin/tsc', root).pathname, ['-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
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

function toHash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

/** So that `npx facet` in the clone finds the command beside the others, and with it the right Node.js. */
function linkBin(): void {
  const link = new URL('node_modules/.bin/facet', root)
  rmSync(link, { force: true })
  symlinkSync('../../dist/cli/main.js', link)
}
