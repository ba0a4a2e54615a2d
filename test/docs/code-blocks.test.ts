/** What the documentation shows is code that compiles, against the package's own exports. */
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = ['README.md', ...readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))]

interface Block {
  /** Page and line, as a file's name. */
  readonly name: string
  readonly code: string
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(ROOT, page === 'README.md' ? '.' : 'docs', page), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(({ index, 1: code }) => {
    const line = text.slice(0, index).split('\n').length + 1
    return { name: `${page.replace('.md', '')}-line-${line}.ts`, code: code! }
  })
}

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
const paths = Object.fromEntries(
  Object.entries(manifest.exports).flatMap(([name, target]) => {
    if (typeof target === 'string') return []
    const { types } = 'node' in target ? target.node : target
    const source = types.replace('./dist/', 'src/').replace('.d.ts', '.ts')
    return [[`gemfacet${name.slice(1)}`, [join(ROOT, source)]]]
  }),
)

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
    const blocks = PAGES.flatMap(blocksOf)
    expect(blocks.length).toBeGreaterThan(20)
    const config = blocks.find(({ code }) => code.includes('export default defineConfig('))!
    const files = [
      ...blocks.map(({ name, code }) => [`blocks/${name}`, `${code}\nexport {}\n`]),
      ['at-hand.d.ts', AT_HAND],
      ['package.json', '{ "type": "module" }'],
      // What a block imports from beside it.
      ['blocks/facet.config.ts', `export { default } from './${config.name}'\n`],
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
