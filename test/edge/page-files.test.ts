import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { filesFromUrl } from '../../src/engine/model-files.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { FakeBackend } from './fake-backend.ts'

const MODEL = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))

const edge = createEdge({ backends: [new FakeBackend()], files: filesFromDirectory(MODEL) })
const plain = createEdge({ backends: [new FakeBackend()] })

describe("the page's files", () => {
  it('carry their types, and a policy that lets the page load and reach nothing but its own origin', async () => {
    for (const [path, type] of [
      ['/', 'text/html; charset=utf-8'],
      ['/page/main.js', 'text/javascript; charset=utf-8'],
      ['/page/page.css', 'text/css; charset=utf-8'],
      ['/page/icon.svg', 'image/svg+xml'],
    ]) {
      const { status, headers } = await edge.request(path!)
      expect([status, headers.get('content-type')], path).toEqual([200, type])
      const policy = headers.get('content-security-policy')!
      expect(policy).toContain("default-src 'none'")
      expect(policy).not.toMatch(/unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')|https?:|\*/)
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
      expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp')
    }
  })

  it('hold no script, style or handler inline', async () => {
    const html = await (await edge.request('/')).text()
    expect(html).not.toMatch(/<style|<script(?![^>]* src=)|\sstyle=|\son\w+=/)
  })

  it('are not sent again while they are the same', async () => {
    const first = await edge.request('/page/main.js')
    const again = await edge.request('/page/main.js', {
      headers: { 'if-none-match': first.headers.get('etag')! },
    })
    expect([again.status, await again.text()]).toEqual([304, ''])
  })

  it('are kept by browsers where their names change with what they hold', async () => {
    const html = await edge.request('/')
    expect(html.headers.get('cache-control')).toBe('no-cache')
    const script = await (await edge.request('/page/main.js')).text()
    const [chunk] = /chunk-\w+\.js/.exec(script)!
    expect((await edge.request(`/page/${chunk}`)).headers.get('cache-control')).toContain('immutable')
  })

  it('are only those there are', async () => {
    for (const name of ['nothing.js', '__proto__', 'constructor']) {
      expect((await edge.request(`/page/${name}`)).status, name).toBe(404)
    }
    const without = createEdge({ backends: [new FakeBackend()], page: false })
    expect((await without.request('/page/main.js')).status).toBe(404)
  })
})

describe("the model's files", () => {
  it('are enough to load the model from, whole and in ranges', async () => {
    const data = await readFile(join(MODEL, 'model.onnx_data'))
    const part = await edge.request('/model/model.onnx_data', { headers: { range: 'bytes=100-299' } })
    expect(part.status).toBe(206)
    expect(part.headers.get('content-range')).toBe(`bytes 100-299/${data.length}`)
    expect(Buffer.from(await part.arrayBuffer())).toEqual(data.subarray(100, 300))
    const tail = await edge.request('/model/model.onnx_data', { headers: { range: 'bytes=-5' } })
    expect(Buffer.from(await tail.arrayBuffer())).toEqual(data.subarray(-5))
    const fetchHere = async (url: RequestInfo | URL, init?: RequestInit): Promise<Response> =>
      edge.request(String(url).replace('http://here', ''), init)
    const files = filesFromUrl('http://here/model', fetchHere)
    expect(await files.size('model.onnx_data')).toBe(data.length)
    expect(await files.size('nothing')).toBeUndefined()
  })

  it('answer a range behind the end with 416, and what is no single range with the whole file', async () => {
    const size = (await readFile(join(MODEL, 'config.json'))).length
    for (const [range, status] of [
      [`bytes=${size}-`, 416],
      ['bytes=-0', 416],
      ['bytes=5-2', 200],
      ['bytes=0-1,4-5', 200],
      ['lines=1-2', 200],
      ['bytes=-', 200],
    ] as const) {
      const answer = await edge.request('/model/config.json', { headers: { range } })
      expect(answer.status, range).toBe(status)
      await answer.body?.cancel()
    }
  })

  it('are those the manifest names: nothing else of the directory, and nothing outside it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'facet-files-'))
    try {
      writeFileSync(join(folder, 'facet.json'), await readFile(join(MODEL, 'facet.json')))
      writeFileSync(join(folder, 'secret.txt'), 'secret')
      const app = createEdge({ backends: [new FakeBackend()], files: filesFromDirectory(folder) })
      for (const path of ['secret.txt', '..%2Fsecret.txt', '%2e%2e/secret.txt', 'config.json', 'a/b']) {
        const answer = await app.request(`/model/${path}`)
        expect(answer.status, path).toBe(404)
        expect(await answer.text()).not.toContain('"secret"')
      }
      expect((await app.request('/model/facet.json')).status).toBe(200)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('are offered only where the server was told to', async () => {
    expect(await (await edge.request('/page/config.json')).json()).toEqual({ model: 'model/' })
    expect(await (await plain.request('/page/config.json')).json()).toEqual({ model: null })
    expect((await plain.request('/model/facet.json')).status).toBe(404)
  })
})
