import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type BucketBinding,
  filesFromAssets,
  filesFromBucket,
  filesFromBytes,
} from '../../src/edge/entry/workers-files.ts'
import { openWithoutData, withData } from '../../src/engine/model-file.ts'
import type { ModelFiles } from '../../src/engine/model-files.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'

const NAMES = [
  'facet.json',
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'model.onnx',
  'model.onnx_data',
]
const contents = Object.fromEntries(
  NAMES.map((name) => [name, new Uint8Array(readFileSync(join(MODEL_DIRECTORY, name))).buffer]),
)
const contentOf = (path: string): ArrayBuffer | undefined =>
  Object.hasOwn(contents, path) ? contents[path] : undefined

const bucket: BucketBinding = {
  head: async (key) => {
    const bytes = contentOf(key.replace(/^models\/x\//, ''))
    return bytes ? { size: bytes.byteLength } : null
  },
  get: async (key, options) => {
    const bytes = contentOf(key.replace(/^models\/x\//, ''))
    if (!bytes) return null
    const { offset, length } = options?.range ?? { offset: 0, length: bytes.byteLength }
    return { body: new Blob([bytes.slice(offset, offset + length)]).stream() }
  },
}

const assets = {
  fetch: async ({ url }: Request): Promise<Response> => {
    const [, name] = /^https:\/\/assets\.local\/x\/(.+)$/.exec(url) ?? []
    const bytes = name === undefined ? undefined : contentOf(name)
    return bytes ? new Response(bytes) : new Response(null, { status: 404 })
  },
}

const PLACES: readonly (readonly [string, ModelFiles])[] = [
  ['static assets', filesFromAssets(assets, '/x')],
  ['an R2 bucket', filesFromBucket(bucket, 'models/x')],
  ['bytes of the script', filesFromBytes(contents)],
]

const textOf = (stream: ReadableStream<Uint8Array> | undefined): Promise<string> =>
  new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text()

describe.each(PLACES)('a model among %s', (_, files) => {
  it('is read and verified', async () => {
    const { data, manifest } = await withData(await openWithoutData(files))
    const { sha256 } = manifest.files.find(({ path }) => path === 'model.onnx_data')!
    expect(createHash('sha256').update(data).digest('hex')).toBe(sha256)
  })

  it('is read in ranges', async () => {
    const whole = await textOf(await files.open('config.json'))
    expect(await textOf(await files.open('config.json', { start: 3, end: 9 }))).toBe(whole.slice(3, 9))
  })

  it('lacks what is not there', async () => {
    expect(await files.open('nothing.json')).toBeUndefined()
    expect(await files.open('__proto__')).toBeUndefined()
    expect(await files.size('nothing.json')).toBeUndefined()
  })
})
