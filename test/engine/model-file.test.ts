import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openModel } from '../../src/engine/model-file.ts'
import { filesFromUrl, type ModelFiles, readEntry } from '../../src/engine/model-files.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { dequantize, dequantizedWeights, tensorsFrom } from '../../src/engine/tensors.ts'
import { FacetError } from '../../src/errors.ts'
import { configFrom } from '../../src/gemma/config.ts'
import { CHUNK_BYTES, type FileEntry, type Manifest } from '../../src/gemma/manifest.ts'
import { encodeModel, type OnnxInitializer } from '../../src/gemma/onnx.ts'
import { tensorShapes } from '../../src/gemma/weights.ts'
import { MODEL_DIRECTORY } from './golden.ts'

const CONFIG = {
  architectures: ['GemmaForCausalLM'],
  hidden_size: 32,
  intermediate_size: 32,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  head_dim: 32,
  num_hidden_layers: 1,
  vocab_size: 8192,
  max_position_embeddings: 64,
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

function entryOf(path: string, bytes: Uint8Array): FileEntry {
  const chunks: string[] = []
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    chunks.push(sha256(bytes.subarray(at, at + CHUNK_BYTES)))
  return { path, sizeBytes: bytes.length, sha256: sha256(bytes), chunks }
}

type Contents = Map<string, Uint8Array>

/** A model directory in memory; streams come in pieces of odd sizes. */
function inMemory(contents: Contents): ModelFiles {
  return {
    location: 'memory',
    size: async (path) => contents.get(path)?.length,
    open: async (path, range) => {
      const bytes = contents.get(path)?.subarray(range?.start ?? 0, range?.end)
      if (!bytes) return undefined
      let at = 0
      return new ReadableStream({
        pull(stream) {
          if (at >= bytes.length) return stream.close()
          stream.enqueue(bytes.slice(at, at + 7_777_777))
          at += 7_777_777
        },
      })
    },
  }
}

/** A whole model directory whose quantized weights count up. */
function tinyModel(change: (files: Contents) => void = () => {}): Contents {
  const config = configFrom(CONFIG)
  const initializers: OnnxInitializer[] = []
  const parts: Uint8Array[] = []
  let offset = 0
  const add = (name: string, type: OnnxInitializer['type'], dims: number[], bytes: Uint8Array): void => {
    initializers.push({
      name,
      type,
      dims,
      data: { location: 'model.onnx_data', offset, length: bytes.length },
    })
    parts.push(bytes)
    offset += bytes.length
  }
  for (const { name, shape, role } of tensorShapes(config)) {
    const elements = shape.reduce((a, b) => a * b, 1)
    if (role === 'norm')
      add(name, 'float32', [...shape], new Uint8Array(new Float32Array(elements).fill(1.5).buffer))
    else {
      const codes = Uint8Array.from({ length: elements / 2 }, (_, i) => i)
      const half = new Uint16Array(elements / 32).fill(0x3f00) // 0.5
      add(`${name}_quant`, 'uint8', [shape[0]!, shape[1]! / 32, 16], codes)
      add(`${name}_scale`, 'bfloat16', [elements / 32], new Uint8Array(half.buffer))
    }
  }
  const data = new Uint8Array(offset)
  let at = 0
  for (const part of parts) {
    data.set(part, at)
    at += part.length
  }
  const model = {
    irVersion: 10,
    producer: 'test',
    opsets: { '': 21 },
    name: 'g',
    nodes: [],
    inputs: [],
    outputs: [],
  }
  const files: Contents = new Map([
    ['config.json', new TextEncoder().encode(JSON.stringify(CONFIG))],
    ['tokenizer.json', readFileSync(join(MODEL_DIRECTORY, 'tokenizer.json'))],
    ['model.onnx', encodeModel({ ...model, initializers })],
    ['model.onnx_data', data],
  ])
  change(files)
  const manifest: Manifest = {
    format: 1,
    id: 'tiny',
    parameters: 1,
    dtype: 'bf16',
    quantization: { bits: 4, blockSize: 32, scheme: 'symmetric' },
    files: [...files].map(([path, bytes]) => entryOf(path, bytes)),
  }
  return files.set('facet.json', new TextEncoder().encode(JSON.stringify(manifest)))
}

const refusal = async (contents: Contents): Promise<FacetError> => {
  const error = await openModel(inMemory(contents)).catch((thrown: unknown) => thrown)
  if (!(error instanceof FacetError)) throw new Error(`expected a FacetError, got ${error}`)
  expect(error.message).toMatch(/^[^\n]+\.$/)
  return error
}

describe('a model directory', () => {
  it('gives its tensors as stored and as float32', async () => {
    const model = await openModel(inMemory(tinyModel()))
    expect(model.manifest.id).toBe('tiny')
    const name = 'model.layers.0.mlp.up_proj.weight'
    const quantized = tensorsFrom(model).quantized(name)!
    expect([quantized.bits, quantized.codes.length, quantized.scales.length]).toEqual([4, 512, 64])
    const weights = dequantizedWeights(model)
    // Byte i holds code i % 16 for the even element and i >> 4 for the odd; the scale is 0.5, the zero 8.
    const values = weights.tensor(name)
    expect([...values.slice(0, 4), values[64], values[65]]).toEqual([-4, -4, -3.5, -4, -4, -3])
    expect(weights.tensor('model.norm.weight')).toEqual(new Float32Array(32).fill(1.5))
    expect(() => weights.tensor('model.missing')).toThrow('model.missing is missing')
  })

  it('tells how far it has come', async () => {
    const contents = tinyModel()
    const seen: number[] = []
    let total = 0
    await openModel(inMemory(contents), {
      onProgress: ({ loadedBytes, totalBytes }) => {
        seen.push(loadedBytes)
        total = totalBytes
      },
    })
    contents.delete('facet.json')
    expect(total).toBe([...contents.values()].reduce((sum, { length }) => sum + length, 0))
    expect(seen.at(-1)).toBe(total)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  })

  it('without a manifest is none, or was interrupted', async () => {
    const contents = tinyModel()
    contents.delete('facet.json')
    const error = await refusal(contents)
    expect(error.code).toBe('invalid_model')
    expect(error.message).toContain('has no facet.json: it is not a model directory, or')
  })

  it('without a tokenizer is not served, and says what to do', async () => {
    const error = await refusal(tinyModel((files) => files.delete('tokenizer.json')))
    expect(error.code).toBe('tokenizer_missing')
    expect(error.message).toContain('put tokenizer.json or tokenizer.model beside the checkpoint')
  })

  it('with a flipped bit names the file and the range', async () => {
    const paths = ['config.json', 'tokenizer.json', 'model.onnx', 'model.onnx_data']
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.nat(), async (path, seed) => {
        const contents = tinyModel()
        const bytes = contents.get(path)!.slice()
        bytes[seed % bytes.length]! ^= 1 << (seed % 8)
        const error = await refusal(new Map(contents).set(path, bytes))
        expect(error).toMatchObject({ code: 'checksum_mismatch', field: path })
        expect(error.message).toContain(
          `${path} in memory is corrupt between bytes 0 and ${bytes.length - 1}`,
        )
      }),
      { numRuns: 20 },
    )
  })

  it('with a flipped bit loads when told not to verify', async () => {
    const contents = tinyModel()
    contents.get('model.onnx_data')![0]! ^= 1
    await openModel(inMemory(contents), { verify: false })
  })

  it.each([
    ['missing', () => undefined, 'model.onnx_data in memory is missing'],
    ['truncated', (bytes: Uint8Array) => bytes.subarray(0, 100), 'is truncated: 100 of'],
    ['too long', (bytes: Uint8Array) => new Uint8Array(bytes.length + 1), 'is longer than'],
  ] as const)('with a file that is %s says so', async (_, change, message) => {
    const contents = tinyModel()
    const changed = change(contents.get('model.onnx_data')!)
    if (changed) contents.set('model.onnx_data', changed)
    else contents.delete('model.onnx_data')
    const error = await refusal(contents)
    expect(error).toMatchObject({ code: 'invalid_model', field: 'model.onnx_data' })
    expect(error.message).toContain(message)
  })

  it('whose files are not what their names say is refused by name', async () => {
    const text = new TextEncoder()
    const broken = (path: string) => refusal(tinyModel((files) => files.set(path, text.encode('{]'))))
    expect(await broken('config.json')).toMatchObject({ code: 'invalid_model', field: 'config.json' })
    expect(await broken('tokenizer.json')).toMatchObject({ code: 'invalid_model', field: 'tokenizer.json' })
    const contents = tinyModel((files) => files.set('model.onnx_data', new Uint8Array(100)))
    const model = await openModel(inMemory(contents))
    expect(() => dequantizedWeights(model).tensor('model.norm.weight')).toThrow('beyond the end')
  })
})

describe('a file of several chunks', () => {
  const bytes = new Uint8Array(2 * CHUNK_BYTES + 12_345).map((_, i) => i * 31)
  const entry = entryOf('big', bytes)

  it('is read whole', async () => {
    const read = await readEntry(inMemory(new Map([['big', bytes]])), entry, { verify: true })
    expect(sha256(read)).toBe(entry.sha256)
  })

  it('that breaks off while it is read is told from a truncated one', async () => {
    const files: ModelFiles = {
      ...inMemory(new Map()),
      open: async () =>
        new ReadableStream({
          start: (stream) => stream.enqueue(bytes.subarray(0, 10)),
          pull: (stream) => stream.error(new TypeError('connection reset')),
        }),
    }
    await expect(readEntry(files, entry, { verify: true })).rejects.toMatchObject({
      code: 'io_failed',
      message: 'big in memory could not be read to its end (connection reset); try again.',
    })
  })

  it('names the chunk that is corrupt', async () => {
    const wrong = bytes.slice()
    wrong[CHUNK_BYTES + 5]! ^= 4
    const read = readEntry(inMemory(new Map([['big', wrong]])), entry, { verify: true })
    await expect(read).rejects.toMatchObject({
      code: 'checksum_mismatch',
      message: expect.stringContaining(`between bytes ${CHUNK_BYTES} and ${2 * CHUNK_BYTES - 1};`),
    })
  })
})

describe('quantized weights', () => {
  it('of 8 bits have their zero at 128', () => {
    const codes = Uint8Array.of(128, 129, 0, 255)
    const values = dequantize({ bits: 8, blockSize: 2, codes, scales: Uint8Array.of(0x80, 0x3f, 0x00, 0x40) })
    expect([...values]).toEqual([0, 1, -256, 254])
  })
})

describe('files', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'facet-files-'))
    await writeFile(join(directory, 'a b.txt'), '0123456789')
  })
  afterAll(() => rm(directory, { recursive: true }))

  const textOf = async (stream: ReadableStream<Uint8Array> | undefined): Promise<string> =>
    new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text()

  it('of a directory are read whole and in ranges', async () => {
    const files = filesFromDirectory(directory)
    expect(await files.size('a b.txt')).toBe(10)
    expect(await textOf(await files.open('a b.txt'))).toBe('0123456789')
    expect(await textOf(await files.open('a b.txt', { start: 2, end: 5 }))).toBe('234')
    expect(await files.open('none')).toBeUndefined()
    expect(await files.size('none')).toBeUndefined()
    expect(await files.open('.')).toBeUndefined()
  })

  it('of an address are read whole and in ranges', async () => {
    const asked: string[] = []
    const files = filesFromUrl('https://example.test/models/x', async (input, init) => {
      const { range } = Object.fromEntries(new Headers(init?.headers))
      asked.push(`${init?.method ?? 'GET'} ${input} ${range ?? ''}`.trim())
      if (String(input).endsWith('none')) return new Response(null, { status: 404 })
      if (String(input).endsWith('broken')) return new Response(null, { status: 500 })
      if (init?.method === 'HEAD') return new Response(null, { headers: { 'content-length': '10' } })
      return range ? new Response('234', { status: 206 }) : new Response('0123456789')
    })
    expect(await files.size('a b.txt')).toBe(10)
    expect(await textOf(await files.open('a b.txt'))).toBe('0123456789')
    expect(await textOf(await files.open('a b.txt', { start: 2, end: 5 }))).toBe('234')
    expect(await files.open('none')).toBeUndefined()
    await expect(files.open('broken')).rejects.toMatchObject({ code: 'bad_response' })
    expect(asked.slice(0, 3)).toEqual([
      'HEAD https://example.test/models/x/a%20b.txt',
      'GET https://example.test/models/x/a%20b.txt',
      'GET https://example.test/models/x/a%20b.txt bytes=2-4',
    ])
  })

  it('of an address that ignores ranges are read in ranges all the same', async () => {
    const whole = filesFromUrl('https://example.test', async () => new Response('0123456789'))
    expect(await textOf(await whole.open('x', { start: 2, end: 5 }))).toBe('234')
  })

  it('of an address that cannot be reached are told so', async () => {
    const down = filesFromUrl('https://example.test', async () => {
      throw new TypeError('fetch failed')
    })
    await expect(down.open('x')).rejects.toMatchObject({ code: 'connection_failed' })
  })
})
