import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/convert/checkpoint-files.ts'
import { Web } from '../../../src/pull/web.ts'
import { bringHome } from '../../../src/tune/home/bring.ts'
import { checkResult } from '../../../src/tune/home/check.ts'
import { parseDone } from '../../../src/tune/home/done.ts'
import { openPlace, type ResultPlace } from '../../../src/tune/home/result-place.ts'
import { fixture, temporary } from '../../convert/checkpoints.ts'
import { JSON_ADAPTER, writeAdapter } from '../../engine/adapter-fixtures.ts'
import { MODEL_DIRECTORY } from '../../engine/golden.ts'
import { quickClock, refusal } from '../../pull/pulling.ts'
import { doneOf, type Files, fakeBucket, writeOut } from './results.ts'

const FILES: Files = { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'weights'.repeat(1000) }

const placeAt = (out: string, endpoint = 'http://localhost:1'): ResultPlace => {
  const { signal } = new AbortController()
  const web = new Web({ clock: quickClock() })
  return openPlace(out, { web, tokens: async () => undefined, endpoint, signal })
}

const inBucket = (files: Files, done = doneOf(files)): Files => ({
  'a/out/done.json': done,
  ...Object.fromEntries(Object.entries(files).map(([path, bytes]) => [`a/out/result/${path}`, bytes])),
})

describe('a result', () => {
  it('comes from a folder, whole, with the notice that the terms of Gemma want', async () => {
    const dir = join(await temporary(), 'result')
    const done = await bringHome(placeAt(await writeOut(FILES)), dir)
    expect(done).toMatchObject({ kind: 'adapter', base: 'google/gemma-2b', steps: 30 })
    expect(readdirSync(dir).sort()).toEqual([
      'NOTICE',
      'adapter_config.json',
      'adapter_model.safetensors',
      'done.json',
    ])
    expect(readFileSync(join(dir, 'NOTICE'), 'utf8')).toMatch(
      /^Gemma is provided under and subject to the Gemma Terms of Use.*\n\n.*tuned from google\/gemma-2b\.\n$/,
    )
  })

  it('comes from a bucket, and goes on where it broke off', async () => {
    await using bucket = await fakeBucket(inBucket(FILES))
    bucket.cutAfter = 3000
    const dir = join(await temporary(), 'result')
    await bringHome(placeAt('gs://runs/a/out', bucket.url), dir)
    expect(readFileSync(join(dir, 'adapter_model.safetensors'), 'utf8')).toBe(
      FILES['adapter_model.safetensors'],
    )
    expect(bucket.asked.some(({ headers }) => headers.range === 'bytes=3000-')).toBe(true)
  })

  it('is not brought twice', async () => {
    await using bucket = await fakeBucket(inBucket(FILES))
    const dir = join(await temporary(), 'result')
    await bringHome(placeAt('gs://runs/a/out', bucket.url), dir)
    const before = bucket.asked.length
    await bringHome(placeAt('gs://runs/a/out', bucket.url), dir)
    expect(bucket.asked.slice(before).filter(({ path }) => path.includes('safetensors?'))).toEqual([])
  })

  it('of another run takes the place of the one before, and leaves nothing of it', async () => {
    const dir = join(await temporary(), 'result')
    await bringHome(placeAt(await writeOut(FILES)), dir)
    const other = { 'config.json': '{}', 'model.safetensors': 'other' }
    await bringHome(placeAt(await writeOut(other, doneOf(other, { kind: 'checkpoint' }))), dir)
    expect(readdirSync(dir).sort()).toEqual(['NOTICE', 'config.json', 'done.json', 'model.safetensors'])
  })

  it.each(['folder', 'bucket'])(
    'whose sha256 differs is refused in a %s, and nothing stands for it',
    async (kind) => {
      const changed = { ...FILES, 'adapter_model.safetensors': 'Weights'.repeat(1000) }
      await using bucket = await fakeBucket(inBucket(changed, doneOf(FILES)))
      const out = kind === 'folder' ? await writeOut(changed, doneOf(FILES)) : 'gs://runs/a/out'
      const dir = join(await temporary(), 'result')
      const { code, message } = await refusal(bringHome(placeAt(out, bucket.url), dir))
      expect(code).toBe('checksum_mismatch')
      expect(message).toMatch(/adapter_model\.safetensors .*sha256/)
      expect(existsSync(join(dir, 'done.json'))).toBe(false)
      expect(existsSync(join(dir, 'adapter_model.safetensors'))).toBe(false)
    },
  )

  it.each(['folder', 'bucket'])('that is not done yet is refused in a %s', async (kind) => {
    await using bucket = await fakeBucket({ 'a/out/metrics.jsonl': '{}\n' })
    const out = kind === 'folder' ? await writeOut(FILES) : 'gs://runs/a/out'
    if (kind === 'folder') await rm(join(out, 'done.json'))
    const { code, message } = await refusal(
      bringHome(placeAt(out, bucket.url), join(await temporary(), 'result')),
    )
    expect(code).toBe('not_found')
    expect(message).toMatch(/has no done\.json: the run has not ended; look at it with facet tune status\./)
  })

  it('that lacks a file which done.json names is refused', async () => {
    const out = await writeOut(FILES)
    await rm(join(out, 'result/adapter_config.json'))
    const { message } = await refusal(bringHome(placeAt(out), join(await temporary(), 'result')))
    expect(message).toMatch(/lacks adapter_config\.json, which done\.json names/)
  })

  it('that was whole is not, once a file of it is to be brought again', async () => {
    const out = await writeOut(FILES)
    const dir = join(await temporary(), 'result')
    await bringHome(placeAt(out), dir)
    await writeFile(join(dir, 'adapter_config.json'), 'damaged here')
    await writeFile(join(out, 'result/adapter_config.json'), 'damaged there')
    await refusal(bringHome(placeAt(out), dir))
    expect(existsSync(join(dir, 'done.json'))).toBe(false)
  })
})

describe('done.json', () => {
  const wrong: [string, Record<string, unknown>, RegExp][] = [
    ['a kind that is none', { kind: 'model' }, /kind must be adapter or checkpoint/],
    ['no files', { files: [] }, /files must be a list of files/],
    [
      'a path that leads out',
      { files: [{ path: '../x', bytes: 1, sha256: 'a'.repeat(64) }] },
      /files\[0\]\.path must lead into result\//,
    ],
    [
      'a path from the root',
      { files: [{ path: '/etc/x', bytes: 1, sha256: 'a'.repeat(64) }] },
      /files\[0\]\.path/,
    ],
    [
      'a digest that is none',
      { files: [{ path: 'x', bytes: 1, sha256: 'A' }] },
      /files\[0\]\.sha256 must be 64/,
    ],
    [
      'a negative size',
      { files: [{ path: 'x', bytes: -1, sha256: 'a'.repeat(64) }] },
      /files\[0\]\.bytes must be a size/,
    ],
  ]
  it.each(wrong)('with %s is refused with its field', (_, more, said) => {
    expect(() => parseDone(doneOf(FILES, more))).toThrow(said)
  })

  it('of any shape is read or refused with one sentence', () => {
    const record = fc.record(
      {
        kind: fc.constantFrom('adapter', 'checkpoint', 1),
        base: fc.string(),
        method: fc.constantFrom('lora', 'x'),
        steps: fc.nat(),
        versions: fc.object(),
        files: fc.array(fc.object()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          record.map((one) => JSON.stringify(one)),
        ),
        (text) => {
          try {
            parseDone(text)
          } catch (error) {
            expect((error as Error).message).toMatch(/^done\.json: .*\?$/s)
          }
        },
      ),
    )
  })
})

describe('an adapter against its base', () => {
  const done = (more: Readonly<Record<string, unknown>> = {}) => parseDone(doneOf(FILES, more))

  it('is taken with its rank', async () => {
    expect(await checkResult(JSON_ADAPTER, done({ base: 'facet-tldr-24m' }), MODEL_DIRECTORY)).toEqual({
      rank: expect.any(Number),
    })
  })

  it('of the wrong rank is refused with one sentence', async () => {
    const config = await readConfig(MODEL_DIRECTORY)
    const adapter = await writeAdapter(config, { rank: 8, config: { r: 16 } })
    const { code, message } = await refusal(checkResult(adapter, done(), MODEL_DIRECTORY))
    expect(code).toBe('invalid_checkpoint')
    expect(message).toMatch(
      /lora_A\.weight is \[8, \d+\], but must be \[16, \d+\], as adapter_config\.json says rank 16/,
    )
  })

  it('of another model is refused with one sentence', async () => {
    const adapter = await writeAdapter(await readConfig(MODEL_DIRECTORY))
    const { message } = await refusal(checkResult(adapter, done()))
    expect(message).toMatch(/the adapter was trained on another base\.$/)
  })

  it('whose base nobody knows asks for it', async () => {
    const { message } = await refusal(checkResult(JSON_ADAPTER, done({ base: 'acme/own' })))
    expect(message).toBe('acme/own is none of the published Gemmas; give its directory with --base.')
  })

  it('that is a whole checkpoint has the shape of its base', async () => {
    const checkpoint = done({ kind: 'checkpoint' })
    expect(await checkResult(MODEL_DIRECTORY, checkpoint, MODEL_DIRECTORY)).toEqual({})
    const { message } = await refusal(checkResult(fixture('gemma-mqa'), checkpoint))
    expect(message).toMatch(
      /^The result's \w+ is \d+, but that of google\/gemma-2b is \d+; it was not tuned from it\.$/,
    )
  })
})
