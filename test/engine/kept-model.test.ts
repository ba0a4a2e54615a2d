import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { ChunkStore } from '../../src/engine/chunk-store.ts'
import { forgetModel, isKept } from '../../src/engine/kept-chunks.ts'
import { loadKept } from '../../src/engine/kept-model.ts'
import { readManifest } from '../../src/engine/model-file.ts'
import { filesFromUrl, type ModelFiles, readEntry } from '../../src/engine/model-files.ts'
import { FacetError } from '../../src/errors.ts'
import { CHUNK_BYTES, type FileEntry } from '../../src/gemma/manifest.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Three chunks, the last one short, none like another. */
const data = new Uint8Array(2 * CHUNK_BYTES + 1000)
for (let i = 0; i < data.length; i += 4096) data[i] = 1 + ((i / 4096) % 251)

const CONTENTS: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
  'config.json': new TextEncoder().encode('{}'),
  'tokenizer.json': new TextEncoder().encode('[]'),
  'model.onnx': new TextEncoder().encode('graph'),
  'model.onnx_data': data,
}

const toEntry = (path: string, bytes: Uint8Array): FileEntry => ({
  path,
  sizeBytes: bytes.length,
  sha256: sha256(bytes),
  chunks: Array.from({ length: Math.ceil(bytes.length / CHUNK_BYTES) }, (_, i) =>
    sha256(bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES)),
  ),
})
const entries = Object.entries(CONTENTS).map(([path, bytes]) => toEntry(path, bytes))
const manifest = {
  format: 1,
  id: 'x',
  parameters: 1,
  dtype: 'f32',
  quantization: null,
  files: entries,
}
const chunksOfData = entries.at(-1)!.chunks

/** Answers one request: the bytes asked for, and how the server says it. */
type Serve = (path: string, range: readonly [number, number] | undefined) => Response | undefined

interface Server {
  readonly files: ModelFiles
  /** What was asked for, with its range. */
  readonly asked: string[]
  serve: Serve | undefined
}

function server(): Server {
  const at = { asked: [] as string[], serve: undefined as Serve | undefined }
  const files = filesFromUrl('https://models.test/x', async (input, init) => {
    const path = String(input).split('/').at(-1)!
    const range = new Headers(init?.headers).get('range')
    at.asked.push(range ? `${path} ${range}` : path)
    const [first, last] = (range?.slice('bytes='.length).split('-') ?? []).map(Number)
    const special = at.serve?.(path, range ? [first!, last! + 1] : undefined)
    if (special) return special
    if (path === 'facet.json') return Response.json(manifest)
    const bytes = CONTENTS[path]
    if (!bytes) return new Response(null, { status: 404 })
    if (!range) return new Response(bytes)
    const headers = { 'content-range': `bytes ${first}-${last}/${bytes.length}` }
    return new Response(bytes.slice(first, last! + 1), { status: 206, headers })
  })
  return Object.assign(at, { files })
}

interface MemoryStore extends ChunkStore {
  readonly kept: Map<string, Uint8Array<ArrayBuffer>>
  /** What it admits to have. */
  roomBytes: number
  /** Runs before everything that is put. */
  before: (name: string) => void
}

function memoryStore(): MemoryStore {
  const kept = new Map<string, Uint8Array<ArrayBuffer>>()
  const store: MemoryStore = {
    kind: 'cache',
    kept,
    before: () => {},
    hasRoom: async (sizeBytes) => sizeBytes <= store.roomBytes,
    roomBytes: Number.POSITIVE_INFINITY,
    get: async (name) => {
      const bytes = kept.get(name)
      return bytes && { sizeBytes: bytes.length, open: () => new Blob([bytes]).stream() }
    },
    put: async (name, bytes) => {
      store.before(name)
      kept.set(name, bytes.slice())
    },
    remove: async (name) => {
      kept.delete(name)
    },
    names: async () => [...kept.keys()],
  }
  return store
}

/** Reads every file and checks it, as an engine would. */
const readAll = async (files: ModelFiles): Promise<void> => {
  for (const entry of (await readManifest(files)).files) await readEntry(files, entry, { verify: true })
}

const load = ({ files }: Server, store: ChunkStore, quota?: number): Promise<void> =>
  loadKept(
    files,
    { store, space: { estimate: async () => (quota === undefined ? {} : { quota, usage: 10 }) } },
    readAll,
  )

/** The first bytes of a body, and then a connection that breaks off. */
const broken = (bytes: Uint8Array, count: number, init?: ResponseInit): Response => {
  const pieces = [bytes.slice(0, count)]
  return new Response(
    new ReadableStream({
      pull: (controller) => {
        const piece = pieces.shift()
        if (piece) controller.enqueue(piece)
        else controller.error(new TypeError('terminated'))
      },
    }),
    init,
  )
}

const DATA = 'model.onnx_data'
const M = CHUNK_BYTES

describe('a kept model', () => {
  it('is fetched whole, then read without the network, and kept under the names of its chunks', async () => {
    const [net, store] = [server(), memoryStore()]
    expect(await isKept(net.files, store)).toBe(false)
    await load(net, store)
    expect(net.asked).toEqual(['facet.json', ...Object.keys(CONTENTS)])
    expect(await isKept(net.files, store)).toBe(true)
    const names = [...store.kept.keys()]
    expect(names.at(-1)).toMatch(/^[0-9a-f]{64}\.json$/)
    expect(names.slice(0, -1)).toEqual(entries.flatMap(({ chunks }) => chunks))
    net.asked.length = 0
    await load(net, store)
    expect(net.asked).toEqual(['facet.json'])
    net.serve = () => new Response(null, { status: 503 })
    await load(net, store)
  })

  it('goes on from its last whole chunk where a connection broke off, at once and when asked again', async () => {
    const [net, store] = [server(), memoryStore()]
    net.serve = (path, range) => {
      if (path !== DATA) return undefined
      if (!range) return broken(data, M + 1000)
      return broken(data.subarray(range[0]), 1000, { status: 206 })
    }
    await expect(load(net, store)).rejects.toMatchObject({ code: 'io_failed', field: DATA })
    expect(net.asked.slice(-2)).toEqual([DATA, `${DATA} bytes=${M}-${data.length - 1}`])
    expect(await isKept(net.files, store)).toBe(false)
    net.serve = undefined
    net.asked.length = 0
    await load(net, store)
    expect(net.asked).toEqual(['facet.json', `${DATA} bytes=${M}-${data.length - 1}`])
  })

  it.each([
    ['ignores ranges', (): Response => new Response(data)],
    ['ignores where a range ends', (): Response => new Response(data.subarray(M), { status: 206 })],
  ])('is resumed from a server that %s', async (_, respond) => {
    const [net, store] = [server(), memoryStore()]
    await load(net, store)
    store.kept.delete(chunksOfData[1]!)
    net.serve = (path) => (path === DATA ? respond() : undefined)
    await load(net, store)
    expect(store.kept.has(chunksOfData[1]!)).toBe(true)
  })

  it.each([
    ['another range', { 'content-range': `bytes 0-9/${data.length}` }, 'bad_response', 'but sent bytes 0-9'],
    ['the wrong bytes for it', {}, 'checksum_mismatch', `corrupt between bytes ${M} and ${2 * M - 1}`],
  ])('is not resumed from a server that sends %s', async (_, headers, code, message) => {
    const [net, store] = [server(), memoryStore()]
    await load(net, store)
    store.kept.delete(chunksOfData[1]!)
    net.serve = (path) =>
      path === DATA ? new Response(data.slice(0, M), { status: 206, headers }) : undefined
    await expect(load(net, store)).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
    expect(store.kept.has(chunksOfData[1]!)).toBe(false)
  })

  it.each([
    ['holds other bytes', M],
    ['is cut short', M - 1],
  ])('of which a chunk %s fetches that chunk anew', async (_, sizeBytes) => {
    const [net, store] = [server(), memoryStore()]
    await load(net, store)
    store.kept.set(chunksOfData[1]!, new Uint8Array(sizeBytes))
    net.asked.length = 0
    await load(net, store)
    expect(net.asked.filter((path) => path !== 'facet.json')).toEqual([`${DATA} bytes=${M}-${2 * M - 1}`])
    expect(sha256(store.kept.get(chunksOfData[1]!)!)).toBe(chunksOfData[1])
  })

  it('is refused with the figures where there is no room, before anything is fetched', async () => {
    const [net, store] = [server(), memoryStore()]
    await expect(load(net, store, 30_000_000)).rejects.toMatchObject({
      code: 'io_failed',
      message:
        "https://models.test/x needs 33.6 MB of the browser's storage, but only 30 MB are free; free some, or load it with keep: false.",
    })
    store.roomBytes = 33_000_000
    await expect(load(net, store)).rejects.toThrow("33.6 MB of the browser's storage, which it refuses; free")
    expect(net.asked).toEqual(['facet.json', 'facet.json'])
    expect(store.kept.size).toBe(0)
  })

  it('keeps what fitted when the room ends in the middle', async () => {
    const [net, store] = [server(), memoryStore()]
    store.before = (name) => {
      if (name === chunksOfData[1]) throw new FacetError('io_failed', 'no more space')
    }
    await expect(load(net, store)).rejects.toThrow('no more space')
    expect(store.kept.has(chunksOfData[0]!)).toBe(true)
    expect(await isKept(net.files, store)).toBe(false)
  })

  it('fails where the browser forgets at once what it is given', async () => {
    const [net, store] = [server(), memoryStore()]
    const forgetful: ChunkStore = {
      ...store,
      put: (name, bytes) => (name === chunksOfData[0] ? Promise.resolve() : store.put(name, bytes)),
    }
    await expect(load(net, forgetful)).rejects.toMatchObject({
      code: 'io_failed',
      message: expect.stringContaining('the browser did not keep what was fetched'),
    })
  })

  it('follows its source: what has changed is fetched, what is the same is not, what is gone is freed', async () => {
    const [net, store] = [server(), memoryStore()]
    await load(net, store)
    const graph = new TextEncoder().encode('another graph')
    const files = entries.map((entry) => (entry.path === 'model.onnx' ? toEntry(entry.path, graph) : entry))
    net.serve = (path) => {
      if (path === 'facet.json') return Response.json({ ...manifest, files })
      return path === 'model.onnx' ? new Response(graph) : undefined
    }
    net.asked.length = 0
    await load(net, store)
    expect(net.asked).toEqual(['facet.json', 'model.onnx'])
    expect(store.kept.has(sha256(CONTENTS['model.onnx']!))).toBe(false)
    expect(store.kept.has(sha256(graph))).toBe(true)
  })

  it('leaves nothing when it is forgotten, but what another model needs', async () => {
    const [net, store] = [server(), memoryStore()]
    await load(net, store)
    const other = { ...net.files, location: 'https://models.test/y' }
    await loadKept(other, { store }, readAll)
    const size = store.kept.size
    await forgetModel(net.files, store)
    expect(store.kept.size).toBe(size - 1)
    await forgetModel(other, store)
    expect(store.kept.size).toBe(0)
  })
})
