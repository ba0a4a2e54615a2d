/** The same suite on workerd: the Workers template, bundled by wrangler and run by miniflare. */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Miniflare } from 'miniflare'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { bundleWorker, peakHeapBytes, startWorker, type WorkerBundle } from '../../scripts/workerd.ts'
import { publishedShape } from '../../src/gemma/published.ts'
import { ask } from './ask.ts'
import { ROOT } from './runtimes.ts'
import { behavesAlike } from './suite.ts'

/** What Cloudflare allows: of memory, and of script on the free plan, compressed. */
const MOST_MEMORY_BYTES = 128e6
const MOST_BUNDLE_BYTES = 3 * 1024 * 1024

describe('Facet on workerd', () => {
  let bundle: WorkerBundle
  let worker: Miniflare
  let origin = ''

  beforeAll(async () => {
    bundle = await bundleWorker('test/runtime/worker', ['test/runtime/engine-options.ts'])
    worker = startWorker(bundle, join(ROOT, 'models'))
    origin = (await worker.ready).origin
  })
  afterAll(async () => {
    await worker?.dispose()
    bundle?.remove()
  })

  behavesAlike(() => (asked) => ask(fetch, origin, asked))

  it('answers others when the client that started it leaves while the model is loaded', async () => {
    const fresh = startWorker(bundle, join(ROOT, 'models'))
    try {
      const at = (await fresh.ready).origin
      const controller = new AbortController()
      const first = fetch(`${at}/v1/models`, { signal: controller.signal })
      const second = ask(fetch, at, { path: '/v1/models' })
      controller.abort()
      await expect(first).rejects.toThrow('aborted')
      expect((await second).status).toBe(200)
    } finally {
      await fresh.dispose()
    }
  })

  it('takes less memory than a Worker has while it loads and answers, script and kernels together', async () => {
    const fresh = startWorker(bundle, join(ROOT, 'models'))
    try {
      const at = (await fresh.ready).origin
      const messages = [{ role: 'user', content: 'Show examples for tar.' }]
      const body = { messages, temperature: 0 }
      const heap = await peakHeapBytes(fresh, () => ask(fetch, at, { path: '/v1/chat/completions', body }))
      const { text } = await ask(fetch, at, { path: '/memories' })
      const [kernels] = JSON.parse(text)
      expect(kernels).toBeGreaterThan(14e6) // the weights alone
      expect(heap).toBeGreaterThan(5e6) // script, tokenizer, and the chunk through which weights came
      expect(heap + kernels).toBeLessThan(MOST_MEMORY_BYTES)
    } finally {
      await fresh.dispose()
    }
  })
})

describe('the Workers template', () => {
  const closers: (() => unknown)[] = []
  let bundle: WorkerBundle

  beforeAll(async () => {
    bundle = await bundleWorker('deploy/workers')
  })
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
  afterAll(() => bundle?.remove())

  const start = async (assets: string): Promise<string> => {
    const worker = startWorker(bundle, assets)
    closers.push(() => worker.dispose())
    return (await worker.ready).origin
  }

  it('is small enough for the free plan, compressed and without weights', () => {
    expect(bundle.gzipBytes).toBeLessThan(MOST_BUNDLE_BYTES)
  })

  it('answers, serves the page, and gives no file of the model away', async () => {
    const origin = await start(join(ROOT, 'models'))
    const messages = [{ role: 'user', content: 'How do I find files by name?' }]
    const answer = await ask(fetch, origin, {
      path: '/v1/chat/completions',
      body: { messages, temperature: 0 },
    })
    expect(answer.text).toContain("`find . -name '*.txt'`")
    expect((await ask(fetch, origin, { path: '/' })).text).toContain('<title>Facet')
    expect((await ask(fetch, origin, { path: '/facet-tldr-24m/model.onnx' })).status).toBe(404)
  })

  it('refuses a model that cannot fit before its weights are fetched, with the figures', async () => {
    const assets = mkdtempSync(join(tmpdir(), 'facet-assets-'))
    closers.push(() => rmSync(assets, { recursive: true }))
    writeModelWithoutWeights(join(assets, 'facet-tldr-24m'))
    const { status, text } = await ask(fetch, await start(assets), { path: '/v1/models' })
    expect(status).toBe(507)
    const { error } = JSON.parse(text)
    expect(error.code).toBe('out_of_memory')
    expect(error.message).toMatch(
      /^gemma-2b needs \d\.\d+ GB \(weights 1\.41 GB, KV cache \d+ MB for 16384 tokens/,
    )
    expect(error.message).toContain('may take 128 MB here')
    expect(error.message).toContain('route to an upstream')
  })

  it('says that there is no model', async () => {
    const assets = mkdtempSync(join(tmpdir(), 'facet-assets-'))
    closers.push(() => rmSync(assets, { recursive: true }))
    writeFileSync(join(assets, 'readme.txt'), 'nothing else')
    const { status, text } = await ask(fetch, await start(assets), { path: '/v1/models' })
    expect(status).toBe(500)
    expect(JSON.parse(text).error).toMatchObject({ code: 'invalid_model', param: 'facet.json' })
  })
})

const GEMMA_2B = {
  architectures: ['GemmaForCausalLM'],
  ...publishedShape('gemma-2b'),
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  bos_token_id: 2,
  eos_token_id: 1,
  pad_token_id: 0,
}

/** Manifest and configuration of a Gemma 2B in 4 bits; whoever asks for more finds nothing. */
function writeModelWithoutWeights(folder: string): void {
  mkdirSync(folder)
  const config = JSON.stringify(GEMMA_2B)
  const sha256 = createHash('sha256').update(config).digest('hex')
  const file = (path: string, sizeBytes: number): object => ({
    path,
    sizeBytes,
    sha256,
    chunks: Array(Math.ceil(sizeBytes / (16 * 1024 * 1024))).fill(sha256),
  })
  const manifest = {
    format: 1,
    id: 'gemma-2b',
    parameters: 2_506_172_416,
    dtype: 'bf16',
    quantization: { bits: 4, blockSize: 32, scheme: 'symmetric' },
    files: [
      file('config.json', config.length),
      file('tokenizer.json', 17e6),
      file('model.onnx', 1e5),
      file('model.onnx_data', 1.41e9),
    ],
  }
  writeFileSync(join(folder, 'facet.json'), JSON.stringify(manifest))
  writeFileSync(join(folder, 'config.json'), config)
}
