/** The package as a stranger gets it: packed, installed into an empty folder, used from there. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

const root = fileURLToPath(new URL('../../', import.meta.url))
let folder: string

/** Without the registry: the dependencies are packed from where `npm ci` put them. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'facet-package-'))
  const packs = join(folder, 'packs')
  mkdirSync(packs)
  const pack = (directory: string, ...flags: string[]): string =>
    execFileSync('npm', ['pack', '--silent', '--pack-destination', packs, ...flags, directory], {
      cwd: root,
      encoding: 'utf8',
    })
      .trim()
      .split('\n')
      .at(-1)!
  const tarballs = [
    pack('.'),
    ...Object.keys(manifest.dependencies).map((name) => pack(`./node_modules/${name}`, '--ignore-scripts')),
  ]
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  execFileSync(
    'npm',
    ['install', '--offline', '--no-audit', '--no-fund', ...tarballs.map((file) => join(packs, file))],
    {
      cwd: folder,
      stdio: 'pipe',
    },
  )
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (file: string, args: readonly string[]): { code: number; out: string; err: string } => {
  try {
    return {
      code: 0,
      out: execFileSync(file, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' }),
      err: '',
    }
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string }
    return { code: status, out: stdout, err: stderr }
  }
}

const runScript = (source: string): { code: number; out: string; err: string } => {
  writeFileSync(join(folder, 'script.mjs'), source)
  return run(process.execPath, ['script.mjs'])
}

const facet = (...args: string[]): { code: number; out: string; err: string } =>
  run(process.execPath, [join(folder, 'node_modules/gemfacet/dist/cli/main.js'), ...args])

const sizeBytes = (path: string): number =>
  statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + sizeBytes(join(path, name)), 0)
    : statSync(path).size

/** Below gemfacet/edge. */
const ENTRIES = ['browser', 'bun', 'deno', 'lambda', 'netlify', 'node', 'vercel', 'workers']

describe('the installed package', () => {
  it('is light: a handful of packages, none of the heavy libraries', () => {
    const installed = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))
    expect(installed).not.toContain('onnxruntime-web')
    expect(installed).not.toContain('@google-cloud')
    expect(installed.length).toBeLessThanOrEqual(Object.keys(manifest.dependencies).length + 1)
    const model = sizeBytes(join(folder, 'node_modules/gemfacet/models'))
    expect(sizeBytes(join(folder, 'node_modules')) - model).toBeLessThan(15e6)
  })

  it('answers through the handler, asked by the client', () => {
    const { out, err } = runScript(`
      import { collect, createClient } from 'gemfacet'
      import { createEdge } from 'gemfacet/edge'
      const echo = {
        name: 'echo',
        model: { id: 'echo' },
        async *chat({ messages }) {
          yield { type: 'start', id: '1', model: 'echo', backend: 'echo' }
          yield { type: 'text', text: messages[0].content.toUpperCase() }
          yield { type: 'finish', reason: 'stop', usage: { promptTokens: 1, completionTokens: 1 } }
        },
      }
      const app = createEdge({ backends: [echo] })
      const client = createClient({ baseURL: 'http://localhost/v1', fetch: (url, init) => app.request(url, init) })
      console.log((await collect(client.chat({ messages: [{ role: 'user', content: 'hello' }] }))).text)
    `)
    expect(err).toBe('')
    expect(out).toBe('HELLO\n')
  })

  it('has an entry for each runtime', () => {
    const { out, err } = runScript(`
      for (const entry of ${JSON.stringify(ENTRIES.filter((entry) => entry !== 'workers'))}) {
        const { default: _, ...names } = await import('gemfacet/edge/' + entry)
        if (Object.keys(names).length === 0) throw new Error(entry)
      }
      console.log('all')
    `)
    expect(err).toBe('')
    expect(out).toBe('all\n')
  })

  it('carries types that a strict project accepts', () => {
    writeFileSync(
      join(folder, 'typed.ts'),
      `import { createClient, FacetError, type Backend } from 'gemfacet'
       import { createEdge } from 'gemfacet/edge'
       import { createEngine } from 'gemfacet/engine'
       import { defineConfig } from 'gemfacet/config'
       import { gateway } from 'gemfacet/gateway'
       import { googleTokens } from 'gemfacet/google'
       import OpenAI from 'gemfacet/openai'
       import { vllm } from 'gemfacet/servers'
       import { createVertex } from 'gemfacet/vertex'
       const backend: Backend = createClient({ baseURL: 'http://localhost:8787/v1' })
       export const app = createEdge({ backends: [backend] })
       export const config = defineConfig({ endpoints: { a: { type: 'http', baseURL: 'http://localhost/v1' } } })
       export const mounted = [gateway(backend), new OpenAI({ backend })]
       export { createEngine, createVertex, FacetError, googleTokens, vllm }
       ${ENTRIES.map((entry) => `export * as ${entry} from 'gemfacet/edge/${entry}'`).join('\n')}`,
    )
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--types',
      '',
      'typed.ts',
    ]
    expect(run(join(root, 'node_modules/.bin/tsc'), flags)).toEqual({ code: 0, out: '', err: '' })
  })

  it('serves the sample model with nothing else installed', async () => {
    const sample = join(folder, 'node_modules/gemfacet/models/facet-tldr-24m')
    expect(facet('inspect', sample).out).toContain('24,289,152')
    const args = [join(folder, 'node_modules/gemfacet/dist/cli/main.js'), 'serve', '--port', '0']
    const server = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      for await (const line of createInterface({ input: server.stdout })) {
        const url = /http:\/\/[\d.a-z]+:\d+/.exec(line)?.[0]
        if (!url) continue
        const answer = facet('chat', '--url', `${url}/v1`, 'How do I find files by name?')
        expect(answer).toEqual({ code: 0, out: "`find . -name '*.txt'`\n", err: '' })
        return
      }
      expect.unreachable('the server ended without printing its address')
    } finally {
      server.kill()
    }
  })

  it('computes in the same process, as gemfacet/local', () => {
    const { out, err } = runScript(`
      import { collect } from 'gemfacet'
      import { loadEngine } from 'gemfacet/local'
      const engine = await loadEngine('node_modules/gemfacet/models/facet-tldr-24m')
      const request = { messages: [{ role: 'user', content: 'How do I find files by name?' }], temperature: 0 }
      console.log((await collect(engine.chat(request))).text)
      await engine.close()
    `)
    expect(err).toBe('')
    expect(out).toBe("`find . -name '*.txt'`\n")
  })

  it('checks a configuration that imports its types, and points at the line of a mistake', () => {
    const file = join(folder, 'facet.config.ts')
    const source = `import { defineConfig } from 'gemfacet/config'
export default defineConfig({
  endpoints: { edge: { type: 'http', baseURL: 'http://localhost:8787/v1' as string } },
})`
    writeFileSync(file, source)
    expect(facet('config', 'check')).toMatchObject({
      code: 0,
      out: expect.stringContaining('http://localhost:8787/v1'),
    })
    writeFileSync(file, source.replace('baseURL', 'baseUrl'))
    const { code, err } = facet('config', 'check')
    expect(code).toBe(1)
    expect(err).toContain('facet.config.ts:3:38: endpoints.edge.baseUrl is not known; did you mean baseURL?')
  })

  it('says what to install when an optional engine is missing', () => {
    const refused = facet('serve', '--engine', 'ort', '--port', '0')
    expect(refused.code).toBe(1)
    expect(refused.err).toContain('npm install onnxruntime-web')
    expect(refused.err).not.toMatch(/^\s+at /m)
  })

  it('exits with 2 for a wrong command line and shows help without a stack trace', () => {
    expect(facet('--help').out).toContain('Usage: facet')
    for (const args of [['nonsense'], ['convert', '--nonsense'], ['inspect']]) {
      const { code, err } = facet(...args)
      expect(code).toBe(2)
      expect(err).toMatch(/^facet: .+\n/)
      expect(err).not.toMatch(/^\s+at /m)
    }
  })
})
