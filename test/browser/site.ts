/** A site on loopback for tests in Chromium: a page, bundled scripts, model directories, and faults on demand. */
import { readFileSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { toBuiltWorkerUrls } from '../../scripts/worker-urls.ts'

/** Answers a request for a file in the site's place and returns true, or leaves it to the site. */
export type Fault = (path: string, request: IncomingMessage, response: ServerResponse) => boolean

export interface Site {
  readonly origin: string
  /** Paths of the model's files that were asked for, with their ranges, in order. */
  readonly asked: string[]
  fault: Fault | undefined
  close(): void
}

export interface SiteOptions {
  /** In this folder, beside the engine's own worker scripts. */
  readonly scripts: readonly string[]
  /** Directories below /, by name. */
  readonly models: Readonly<Record<string, string>>
  /** Paths of packages that are not bundled, by what is imported. */
  readonly imports?: Readonly<Record<string, string>>
}

const TYPES: Readonly<Record<string, string>> = { '.mjs': 'text/javascript', '.wasm': 'application/wasm' }

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Every page is cross-origin isolated but those below /plain/. */
export async function openSite({ scripts, models, imports = {} }: SiteOptions): Promise<Site> {
  const bundled = await bundle(scripts)
  const site: Site = {
    origin: '',
    asked: [],
    fault: undefined,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://localhost').pathname
    const [folder = '', file = ''] = path.split('/').slice(-2)
    if (!path.startsWith('/plain/')) {
      response.setHeader('cross-origin-opener-policy', 'same-origin')
      response.setHeader('cross-origin-embedder-policy', 'require-corp')
    }
    const directory = Object.hasOwn(models, folder) ? models[folder] : undefined
    const script = bundled.get(file)
    if (directory) {
      const { range } = request.headers
      site.asked.push(range ? `${file} ${range}` : file)
    }
    if (site.fault?.(file, request, response)) return
    if (directory) sendFile(join(directory, file), request, response)
    else if (script !== undefined) {
      response
        .setHeader('content-type', 'text/javascript')
        .setHeader('service-worker-allowed', '/')
        .end(script)
    } else if (file === '') {
      const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`
      const entry = `<!doctype html>${map}<script type="module" src="${scripts[0]!.replace('.ts', '.js')}"></script>`
      response.setHeader('content-type', 'text/html').end(entry)
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return Object.assign(site, { origin: `http://127.0.0.1:${port}` })
}

/** The file, or the range of it that is asked for. */
export function sendFile(
  file: string,
  { headers: { range } }: IncomingMessage,
  response: ServerResponse,
): void {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    response.writeHead(404).end()
    return
  }
  const bytes = readFileSync(file)
  const type = TYPES[extname(file)]
  if (type !== undefined) response.setHeader('content-type', type)
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
  if (first === undefined) {
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
    return
  }
  const part = bytes.subarray(Number(first), Number(last) + 1)
  const sent = `bytes ${first}-${Number(first) + part.length - 1}/${bytes.length}`
  response.writeHead(206, { 'content-range': sent, 'content-length': part.length }).end(part)
}

/** The scripts and those of the engine's workers, by file name. */
async function bundle(scripts: readonly string[]): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    entryPoints: [
      ...scripts.map(at),
      at('../../src/engine/browser-worker.ts'),
      at('../../src/engine/wasm/web-thread.ts'),
    ],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    external: ['onnxruntime-web'],
    outdir: '/',
    entryNames: '[name]',
    write: false,
    logLevel: 'warning',
  })
  return new Map(outputFiles.map(({ path, text }) => [path.split(/[\\/]/).at(-1)!, toBuiltWorkerUrls(text)]))
}
