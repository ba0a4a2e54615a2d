/** What the documentation shows is code that compiles, against the package's own exports. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ENTRIES } from '../../scripts/site/exports.ts'
import { type Block, blocksOf, PAGES, ROOT } from './pages.ts'

/** Page and line of a block, as a file's name. */
const nameOf = ({ page, line }: Block): string =>
  `${page.replace('docs/', '').replace('.md', '')}-line-${line}.ts`

/** What a reader has at hand where a block begins: backends made elsewhere, and names of their own program. */
const AT_HAND = `
import type { Backend, Message } from 'gemfacet'
import type { BudgetStore } from 'gemfacet/route'
declare global {
  const edge: Backend, cloud: Backend, gke: Backend, vertex: Backend, gemma: Backend
  const engine: Backend, shieldGemma: Backend
  const messages: readonly Message[]
  const baseURL: string
  const env: { readonly GOOGLE_CREDENTIALS: string; readonly KV: { get(key: string): Promise<string> } }
  const store: BudgetStore
  function show(stage: string | undefined, share: number): void
  function lookUp(city: string): Promise<string>
  function oidcToken(signal: AbortSignal): Promise<string>
}
`

/** The sources behind each export, so that nothing has to be built first. */
const paths = Object.fromEntries([...ENTRIES].map(([name, path]) => [name, [join(ROOT, path)]]))

const options = {
  ...{ target: 'es2024', module: 'nodenext', types: ['node'], paths },
  lib: ['es2024', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable'],
  ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true, resolveJsonModule: true },
  ...{ noEmit: true, allowImportingTsExtensions: true },
}

it('compiles as it stands, block by block', () => {
  const folder = mkdtempSync(join(tmpdir(), 'facet-docs-'))
  try {
    mkdirSync(join(folder, 'blocks'))
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const blocks = PAGES.flatMap((page) => blocksOf(page, 'ts'))
    expect(blocks.length).toBeGreaterThan(20)
    const config = blocks.find(({ code }) => code.includes('export default defineConfig('))!
    const files = [
      ...blocks.map((block) => [`blocks/${nameOf(block)}`, `${block.code}\nexport {}\n`]),
      ['at-hand.d.ts', AT_HAND],
      ['package.json', '{ "type": "module" }'],
      // What a block imports from beside it.
      ['blocks/facet.config.ts', `export { default } from './${nameOf(config)}'\n`],
      [
        'tsconfig.json',
        JSON.stringify({
          compilerOptions: options,
          include: ['blocks', 'at-hand.d.ts', join(ROOT, 'src/**/*.d.ts')],
        }),
      ],
    ] as const
    for (const [name, text] of files) writeFileSync(join(folder, name!), text!)
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    const compile = (): string => {
      try {
        return execFileSync(tsc, ['--pretty', 'false'], { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
      } catch (error) {
        return (error as { readonly stdout: string }).stdout
      }
    }
    expect(compile().split('\n').filter(Boolean)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
