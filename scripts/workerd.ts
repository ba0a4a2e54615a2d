/** The Workers template as it would be deployed, in workerd: bundled by wrangler, run by miniflare. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { Miniflare } from 'miniflare'

const ROOT = fileURLToPath(new URL('../', import.meta.url))

export interface WorkerBundle {
  readonly directory: string
  /** Of script and modules, each compressed, as Cloudflare counts. */
  readonly gzipBytes: number
  remove(): void
}

/**
 * `wrangler deploy --dry-run`: bundles a Worker as a deployment would, and sends nothing. In a copy, as
 * wrangler writes beside what it bundles; there Facet is a package among others.
 *
 * @param path folder of the Worker, from the root of this repository
 * @param beside files that it imports from outside of its folder
 */
export async function bundleWorker(path: string, beside: readonly string[] = []): Promise<WorkerBundle> {
  const home = mkdtempSync(join(tmpdir(), 'facet-workers-'))
  const directory = join(home, 'out')
  for (const part of [path, ...beside]) cpSync(join(ROOT, part), join(home, part), { recursive: true })
  mkdirSync(join(home, 'node_modules'))
  symlinkSync(ROOT, join(home, 'node_modules/gemfacet'))
  symlinkSync(join(ROOT, 'models'), join(home, 'models'))
  const wrangler = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
  const env = { ...process.env, HOME: home, WRANGLER_SEND_METRICS: 'false', CI: '1', NO_COLOR: '1' }
  await promisify(execFile)(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', directory], {
    cwd: join(home, path),
    env,
  })
  const shipped = readdirSync(directory).filter((name) => /\.(js|wasm)$/.test(name))
  const gzipBytes = shipped.reduce(
    (sum, name) => sum + gzipSync(readFileSync(join(directory, name))).length,
    0,
  )
  return { directory, gzipBytes, remove: () => rmSync(home, { recursive: true, force: true }) }
}

/** Starts a bundle of bundleWorker on a free port of loopback. */
export function startWorker({ directory }: WorkerBundle, assets: string): Miniflare {
  const names = readdirSync(directory).filter((name) => /\.(js|wasm)$/.test(name))
  const modules = names.map((name) => {
    const type: 'esm' | 'wasm' = name.endsWith('.js') ? 'esm' : 'wasm'
    return [name, { type, contents: new Uint8Array(readFileSync(join(directory, name))) }] as const
  })
  const mainModule = names.find((name) => name.endsWith('.js'))!
  return new Miniflare({
    host: '127.0.0.1',
    port: 0,
    inspectorPort: 0,
    telemetry: { enabled: false },
    workers: [
      {
        config: {
          name: 'facet',
          compatibilityDate: '2026-10-01',
          manifest: { mainModule, modules: Object.fromEntries(modules) },
          env: { ASSETS: { type: 'assets' } },
          assets: { directory: assets, runWorkerFirst: true, hasUserWorker: true },
        },
      },
    ],
  })
}

/**
 * The most a Worker's isolate holds while `work` runs: the JavaScript heap and what array buffers hold
 * outside of it, garbage included. Memories of WebAssembly are not counted.
 */
export async function peakHeapBytes(worker: Miniflare, work: () => Promise<unknown>): Promise<number> {
  const { host } = await worker.getInspectorURL()
  const socket = new WebSocket(`ws://${host}/core:user:facet`)
  const { promise: failed, reject } = Promise.withResolvers<never>()
  socket.addEventListener('error', () => reject(new Error('the inspector is not there')))
  await Promise.race([new Promise((resolve) => socket.addEventListener('open', resolve)), failed])
  let id = 0
  const sample = async (): Promise<number> => {
    const answered = new Promise<MessageEvent<string>>((resolve) =>
      socket.addEventListener('message', resolve, { once: true }),
    )
    socket.send(JSON.stringify({ id: ++id, method: 'Runtime.getHeapUsage' }))
    const { result } = JSON.parse((await Promise.race([answered, failed])).data)
    return result.usedSize + result.embedderHeapUsedSize + result.backingStorageSize
  }
  let running = true
  const done = work().finally(() => {
    running = false
  })
  let peak = 0
  while (running) peak = Math.max(peak, await sample())
  await done
  socket.close()
  return peak
}
