import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { toOrigin } from '../../src/pull/origin.ts'
import { pull } from '../../src/pull/pull.ts'
import { fixture } from '../convert/checkpoints.ts'
import { type Asked, fakeServer, sendBytes } from './fake-hub.ts'
import { contents, filesOf, home, refusal } from './pulling.ts'

const FILES = filesOf('gemma-mqa')
const WEIGHTS = 'model.safetensors'
const names = Object.keys(FILES).sort()
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('base64')
const agree = { ask: async () => true }

describe('a name', () => {
  it('says where its model is', () => {
    const hub = { kind: 'hub', name: 'google/gemma-2b-it' }
    expect(toOrigin('google/gemma-2b-it')).toEqual({ ...hub, revision: undefined })
    expect(toOrigin('hf://google/gemma-2b-it@refs/pr/1')).toEqual({ ...hub, revision: 'refs/pr/1' })
    expect(toOrigin('https://huggingface.co/google/gemma-2b-it/tree/main')).toEqual({
      ...hub,
      revision: 'main',
    })
    expect(toOrigin('gs://bucket/a/b')).toEqual({ kind: 'gs', bucket: 'bucket', prefix: 'a/b' })
    expect(toOrigin('gs://bucket')).toEqual({ kind: 'gs', bucket: 'bucket', prefix: '' })
    expect(toOrigin('https://example.com/m/')).toEqual({ kind: 'web', url: 'https://example.com/m/' })
    for (const path of ['./m', '../m', '/m', '~/m', '.', 'C:\\m'])
      expect(toOrigin(path)).toEqual({ kind: 'folder', path })
    const handle = 'google/gemma/transformers/2b-it'
    expect(toOrigin(`kaggle://${handle}/3`)).toEqual({ kind: 'kaggle', handle: `${handle}/3` })
    for (const wrong of [
      '',
      'gemma',
      'a/b/c',
      'a/../b',
      '../',
      'kaggle://a',
      'gs://',
      'ftp://x/y',
      'a/b@..',
    ]) {
      if (wrong !== '../') expect(() => toOrigin(wrong), wrong).toThrow(FacetError)
    }
  })

  it('of any kind is understood or refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webUrl()), (name) => {
        try {
          const origin = toOrigin(name)
          if (origin.kind === 'hub') expect(`/${origin.name}/`).not.toContain('/../')
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
        }
      }),
    )
  })
})

describe('a pull from Cloud Storage', () => {
  const bucket = (status = 200) =>
    fakeServer(({ path, headers, ...asked }, response) => {
      const { pathname, searchParams } = new URL(path, 'http://x')
      const object = decodeURIComponent(pathname.split('/storage/v1/b/models/o/')[1] ?? '')
      if (status !== 200) response.writeHead(status).end()
      else if (object) {
        sendBytes({ path, headers, ...asked }, response, FILES[object.slice('gemma/'.length)]!, 'W/"other"')
      } else {
        expect(searchParams.get('prefix')).toBe('gemma/')
        const all = [{ name: 'gemma/', size: '0', generation: '1' }]
        for (const [name, bytes] of Object.entries(FILES)) {
          const md5Hash = md5(bytes)
          all.push({ name: `gemma/${name}`, size: String(bytes.length), generation: '7', ...{ md5Hash } })
        }
        const second = searchParams.get('pageToken') === 'next'
        const page = second ? { items: all.slice(2) } : { items: all.slice(0, 2), nextPageToken: 'next' }
        response.setHeader('content-type', 'application/json').end(JSON.stringify(page))
      }
    })

  it('lists page by page, signs every request, and verifies by MD5', async () => {
    await using server = await bucket()
    const user = await home({ STORAGE_EMULATOR_HOST: server.url })
    const source = { token: async () => 'secret', refused: () => undefined }
    const { dir } = await pull('gs://models/gemma', { ...user.options, googleTokens: async () => source })
    expect(readdirSync(dir).sort()).toEqual(names)
    expect(server.asked.every(({ headers }) => headers.authorization === 'Bearer secret')).toBe(true)
    expect(dir).toContain('.cache/facet/')
  })

  it('says what is missing', async () => {
    for (const [status, sentence] of [
      [401, 'is not public'],
      [403, 'Storage Object Viewer'],
      [404, 'There is no gs://models/gemma'],
    ] as const) {
      await using server = await bucket(status)
      const user = await home({ STORAGE_EMULATOR_HOST: server.url })
      expect((await refusal(pull('gs://models/gemma', user.options))).message).toContain(sentence)
    }
  })
})

describe('a pull from Kaggle', () => {
  const base = '/api/v1/models/google/gemma/transformers/2b-it'
  const kaggle = (wrong = false) =>
    fakeServer((asked, response) => {
      const { pathname } = new URL(asked.path, 'http://x')
      const file = pathname.split(`${base}/3/download/`)[1]
      if (!asked.headers.authorization) response.writeHead(401).end()
      else if (pathname === `${base}/get`) response.end('{"versionNumber": 3}')
      else if (pathname === `${base}/3/files`)
        response.end(JSON.stringify({ files: names.map((name) => ({ name })) }))
      else if (file) {
        const bytes = FILES[file]!
        response.setHeader('x-goog-hash', `crc32c=AAAAAA==,md5=${md5(wrong ? Uint8Array.of(1) : bytes)}`)
        sendBytes(asked, response, bytes, '"1"')
      } else response.writeHead(404).end()
    })

  it('finds the newest version, and verifies by the hash its store tells', async () => {
    await using server = await kaggle()
    const user = await home({ KAGGLE_API_ENDPOINT: server.url, KAGGLE_USERNAME: 'me', KAGGLE_KEY: 'secret' })
    const pulled = await pull('kaggle://google/gemma/transformers/2b-it', { ...user.options, ...agree })
    expect(readdirSync(pulled.dir).sort()).toEqual(names)
    expect(pulled.label).toBe('kaggle://google/gemma/transformers/2b-it/3')
    const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`
    expect(server.asked.every(({ headers }) => headers.authorization === basic)).toBe(true)
    await using lying = await kaggle(true)
    const other = await home({ ...user.env, KAGGLE_API_ENDPOINT: lying.url, HOME: join(user.dir, 'other') })
    const error = await refusal(
      pull('kaggle://google/gemma/transformers/2b-it/3', { ...other.options, ...agree }),
    )
    expect(error.code).toBe('checksum_mismatch')
  })

  it('says where to get a key, and finds the one in kaggle.json', async () => {
    await using server = await kaggle()
    const user = await home({ KAGGLE_API_ENDPOINT: server.url })
    const name = 'kaggle://google/gemma/transformers/2b-it/3'
    expect((await refusal(pull(name, user.options))).message).toContain('click "Create New Token"')
    await mkdir(join(user.dir, '.kaggle'))
    const file = join(user.dir, '.kaggle/kaggle.json')
    await writeFile(file, '{"username": "me", "key": "secret"')
    const broken = await refusal(pull(name, user.options))
    expect(broken.message).toContain('kaggle.json has no username and key')
    expect(broken.message).not.toContain('secret')
    await writeFile(file, '{"username": "me", "key": "secret"}')
    await pull(name, { ...user.options, ...agree })
  })
})

describe('a pull from an address', () => {
  const folder = (
    files: Readonly<Record<string, Uint8Array>>,
    answer?: (asked: Asked) => string | undefined,
  ) =>
    fakeServer((asked, response) => {
      const bytes = files[asked.path.slice('/m/'.length)]
      const etag = answer?.(asked) ?? '"1"'
      if (bytes) sendBytes(asked, response, bytes, etag)
      else response.writeHead(404).end()
    })

  it('tries the names a checkpoint has', async () => {
    await using server = await folder(FILES)
    const user = await home()
    const { dir } = await pull(`${server.url}/m/`, user.options)
    expect(readdirSync(dir).sort()).toEqual(names)
    const before = server.asked.filter(({ method, path, headers }) => {
      return method === 'GET' && path.endsWith(WEIGHTS) && headers.range !== 'bytes=0-0'
    }).length
    await pull(`${server.url}/m/`, user.options)
    expect(before).toBe(1)
    expect(server.asked.filter(({ path, headers }) => path.endsWith(WEIGHTS) && !headers.range)).toHaveLength(
      3,
    )
    expect((await refusal(pull(`${server.url}/else/`, user.options))).message).toContain(
      'holds neither facet.json',
    )
  })

  it('takes one file, and refuses it when it changes on the way', async () => {
    const bytes = { 'tiny.safetensors': FILES[WEIGHTS]! }
    await using server = await folder(bytes, ({ headers }) => (headers.range ? '"1"' : '"2"'))
    const user = await home()
    const error = await refusal(
      pull(`${server.url}/m/tiny.safetensors`, { ...user.options, file: 'tiny.safetensors' }),
    )
    expect(error.message).toContain('changed meanwhile')
    expect(JSON.stringify(contents(user.dir))).not.toContain('partial')
  })

  it('verifies a model directory of ours by its own manifest', async () => {
    const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
    const parts: Record<string, Uint8Array> = { 'config.json': FILES['config.json']! }
    for (const name of ['model.onnx', 'model.onnx_data']) parts[name] = Uint8Array.of(1, 2, 3)
    const files = Object.entries(parts).map(([path, bytes]) => {
      return { path, sizeBytes: bytes.length, sha256: sha256(bytes), chunks: [sha256(bytes)] }
    })
    const manifest = { format: 1, id: 'm', parameters: 1, dtype: 'f32', quantization: null, files }
    const served: Record<string, Uint8Array> = {
      ...parts,
      'facet.json': Buffer.from(JSON.stringify(manifest)),
    }
    await using server = await folder(served)
    const user = await home()
    const { dir } = await pull(`${server.url}/m`, user.options)
    expect(readdirSync(dir).sort()).toEqual(Object.keys(served).sort())
    served['model.onnx'] = Uint8Array.of(1, 2, 4)
    const other = await home()
    expect((await refusal(pull(`${server.url}/m`, other.options))).code).toBe('checksum_mismatch')
  })
})

describe('a pull from a folder', () => {
  it('copies or converts what is there', async () => {
    const user = await home()
    const out = join(user.dir, 'out')
    await pull(fixture('gemma-mqa'), { ...user.options, out })
    expect(readdirSync(out).sort()).toEqual(names)
    await pull(out, { ...user.options, out: `${out}-int8`, quant: 'int8' })
    expect(existsSync(join(`${out}-int8`, 'facet.json'))).toBe(true)
    expect((await refusal(pull(out, user.options))).field).toBe('out')
    expect((await refusal(pull('./nowhere-at-all', { ...user.options, out: `${out}-2` }))).code).toBe(
      'not_found',
    )
  })
})
