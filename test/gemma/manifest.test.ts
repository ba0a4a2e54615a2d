import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { isInside, type Manifest, parseManifest, serializeManifest } from '../../src/gemma/manifest.ts'

const sha256 = 'a1'.repeat(32)
const file = (path: string) => ({ path, sizeBytes: 1, sha256, chunks: [sha256] })
const MANIFEST: Manifest = {
  format: 1,
  id: 'gemma-2b-it',
  license: 'Gemma Terms of Use',
  parameters: 2506172416,
  dtype: 'f32',
  quantization: { bits: 4, blockSize: 32, scheme: 'symmetric' },
  files: ['config.json', 'model.onnx', 'model.onnx_data'].map(file),
}

describe('facet.json', () => {
  it('comes back from its text unchanged', () => {
    expect(parseManifest(JSON.parse(serializeManifest(MANIFEST)))).toEqual(MANIFEST)
  })

  it('names the first field that is wrong', () => {
    const wrong: [unknown, string][] = [
      [null, 'facet.json: it must be an object; convert or download the model again.'],
      [{ ...MANIFEST, format: 2 }, 'facet.json: format must be 1'],
      [{ ...MANIFEST, id: undefined }, 'facet.json: id is missing'],
      [{ ...MANIFEST, license: '' }, 'facet.json: license must not be empty'],
      [{ ...MANIFEST, parameters: 0.5 }, 'facet.json: parameters must be a whole number'],
      [{ ...MANIFEST, quantization: { bits: 3 } }, 'facet.json: quantization.bits must be 4 or 8'],
      [{ ...MANIFEST, files: [{ ...file('x'), sha256: 'ff' }] }, 'files[0].sha256 must be 64 hexadecimal'],
      [{ ...MANIFEST, files: [{ ...file('x'), chunks: [] }] }, 'files[0].chunks must be 1 long, but is 0'],
      [{ ...MANIFEST, files: [file('a'), file('a')] }, 'files[1].path must be listed once'],
      [{ ...MANIFEST, files: [file('facet.json')] }, 'files[0].path must be listed once'],
      [{ ...MANIFEST, files: MANIFEST.files.slice(1) }, 'files must list config.json'],
    ]
    for (const [json, message] of wrong) expect(() => parseManifest(json)).toThrow(message)
  })

  it('keeps every path inside the directory', () => {
    for (const path of ['a', 'a.b', '..a', 'a/b', 'a../b', '.a']) expect(isInside(path)).toBe(true)
    const outside = [
      '',
      '.',
      '..',
      '../a',
      'a/..',
      'a/../b',
      './a',
      'a/./b',
      '/a',
      'a/',
      'a//b',
      'a\\b',
      'c:',
      'a\0',
    ]
    for (const path of outside) {
      expect(isInside(path)).toBe(false)
      expect(() => parseManifest({ ...MANIFEST, files: [file(path)] })).toThrow(
        'must lie inside the directory',
      )
    }
  })

  it('is parsed from any JSON, or refused with a FacetError', () => {
    const field = fc.constantFrom(...Object.keys(MANIFEST), 'files.0')
    fc.assert(
      fc.property(field, fc.jsonValue(), (key, json) => {
        for (const value of [json, { ...MANIFEST, [key]: json }, { ...MANIFEST, files: [json] }]) {
          try {
            expect(parseManifest(value).files.length).toBeGreaterThanOrEqual(3)
          } catch (error) {
            expect(error).toBeInstanceOf(FacetError)
          }
        }
      }),
    )
  })
})
