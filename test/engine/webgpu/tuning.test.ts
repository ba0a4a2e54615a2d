import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { tuningsInDirectory } from '../../../src/engine/node.ts'
import type { Width } from '../../../src/engine/webgpu/chain.ts'
import {
  TUNING,
  type Tuning,
  type TuningChoices,
  tuned,
  tuningFrom,
  tuningsInMemory,
} from '../../../src/engine/webgpu/tuning.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

const ONE: TuningChoices = { widths: [1], arithmetics: ['f32'] }

/** A GPU that likes one lane count, one number of rows a width, and nothing read ahead. */
function gpu(): { measured: [Tuning, Width][]; measure: (tuning: Tuning, width: Width) => Promise<number> } {
  const measured: [Tuning, Width][] = []
  const measure = async (tuning: Tuning, width: Width): Promise<number> => {
    measured.push([tuning, width])
    if (width === 'many') return tuning.ahead ? 2 : 1
    const rows = width < 8 ? 2 : 4
    return Math.abs(tuning.lanes - 64) + Math.abs(tuning.rows[width]! - rows) + tuning.laneTokens
  }
  return { measured, measure }
}

describe('tuning', () => {
  it('takes what is fastest for each number of tokens, and measures an adapter once', async () => {
    const store = tuningsInMemory()
    const { measured, measure } = gpu()
    const found = await tuned(store, 'adapter', { widths: [1, 2, 4, 8, 16], arithmetics: ['f32'] }, measure)
    expect(found).toEqual({
      lanes: 64,
      rows: { 1: 2, 2: 2, 4: 2, 8: 4, 16: 4 },
      laneTokens: 4,
      ahead: false,
      arithmetic: 'f32',
    })
    const count = measured.length
    expect(count).toBeLessThan(30)
    expect(
      await tuned(store, 'adapter', { widths: [1, 2, 4, 8, 16], arithmetics: ['f32'] }, measure),
    ).toEqual(found)
    expect(measured).toHaveLength(count)
    await tuned(store, 'another', ONE, measure)
    expect(measured.length).toBeGreaterThan(count)
  })

  it.each([
    [{ f32: 10, f16: 9, int8: 8.5 }, 'f32'],
    [{ f32: 10, f16: 9, int8: 7 }, 'int8'],
    [{ f32: 10, f16: 7, int8: 6.5 }, 'f16'],
    [{ f32: 10, f16: 7, int8: 5 }, 'int8'],
  ] as const)('gives exactness up only for much: %o', async (took, expected) => {
    const measure = async ({ arithmetic, ahead }: Tuning): Promise<number> =>
      took[arithmetic] + (ahead ? 0.1 : 0)
    const choices = { widths: [1], arithmetics: ['f32', 'f16', 'int8'] } as const
    const found = await tuned(tuningsInMemory(), 'adapter', choices, measure)
    expect(found).toMatchObject({ arithmetic: expected, ahead: false })
  })

  it('leaves what was not measured as it is', async () => {
    const { rows } = await tuned(tuningsInMemory(), 'adapter', ONE, gpu().measure)
    expect(rows).toEqual({ ...TUNING.rows, 1: 2 })
  })

  it('measures anew when what is remembered is of no use', async () => {
    for (const text of ['', '{}', 'null', '{"lanes":64}', JSON.stringify({ ...TUNING, lanes: 7 })]) {
      const store = tuningsInMemory()
      await store.write('adapter', text)
      const { measured, measure } = gpu()
      await tuned(store, 'adapter', ONE, measure)
      expect(measured.length).toBeGreaterThan(0)
    }
  })

  it('reads back only whole tunings, whatever stands there', () => {
    expect(tuningFrom(JSON.stringify(TUNING))).toEqual(TUNING)
    const field = fc.constantFrom('lanes', 'rows', 'laneTokens', 'ahead', 'arithmetic')
    fc.assert(
      fc.property(field, fc.jsonValue(), (name, value) => {
        const found = tuningFrom(JSON.stringify({ ...TUNING, [name]: value }))
        if (found) expect(Object.keys(found.rows)).toEqual(Object.keys(TUNING.rows))
      }),
    )
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(tuningFrom(text)).toBeUndefined()
      }),
    )
  })

  it('is kept in files, which another process reads; where nothing can be written nothing is kept', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'facet-tuning-'))
    folders.push(folder)
    const directory = join(folder, 'cache')
    await tuningsInDirectory(directory).write('adapter', 'text')
    expect(await tuningsInDirectory(directory).read('adapter')).toBe('text')
    expect(await tuningsInDirectory(directory).read('another')).toBeUndefined()
    expect(await readdir(directory)).toHaveLength(1)
    await writeFile(join(folder, 'file'), '')
    const blocked = tuningsInDirectory(join(folder, 'file'))
    await blocked.write('adapter', 'text')
    expect(await blocked.read('adapter')).toBeUndefined()
  })
})
