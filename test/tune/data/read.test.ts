import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FacetError } from '../../../src/errors.ts'
import { readJsonList } from '../../../src/tune/data/read/json-list.ts'
import { readLines } from '../../../src/tune/data/read/lines.ts'
import type { RowAt } from '../../../src/tune/data/read/row-at.ts'
import { type FileType, openSource } from '../../../src/tune/data/read/source.ts'
import { parquetOf } from '../../eval/parquet.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'facet-read-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function read(name: string, content: string | Uint8Array, type?: FileType): Promise<RowAt[]> {
  const path = join(folder, name)
  await writeFile(path, content)
  return allOf((await openSource(path, type)).rows(() => {}))
}

async function allOf(rows: AsyncIterable<RowAt>): Promise<RowAt[]> {
  const all: RowAt[] = []
  for await (const row of rows) all.push(row)
  return all
}

const rowsOf = async (name: string, content: string | Uint8Array, type?: FileType) =>
  (await read(name, content, type)).map(({ row }) => row)

async function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const size of sizes) {
    yield bytes.subarray(at, at + size)
    at += size
  }
  yield bytes.subarray(at)
}

describe('a file', () => {
  const rows = [{ prompt: 'a' }, { prompt: 'b' }]
  it.each([
    ['lines.jsonl', '{"prompt":"a"}\n\n{"prompt":"b"}'],
    ['lines.json', '\ufeff{"prompt":"a"}\r\n{"prompt":"b"}\r\n'],
    ['list.json', '[{"prompt":"a"},\n {"prompt":"b"}]\n'],
    ['list.txt', ' [\n{"prompt":"a"}\n,{"prompt":"b"}]'],
    ['after-each-other.json', '{\n"prompt":"a"\n}\n{\n"prompt":"b"\n}'],
    ['commas.csv', 'prompt\na\n"b"\n'],
    ['unnamed', '\ufeffprompt\r\na\r\nb'],
    ['rows.parquet', parquetOf({ prompt: ['a', 'b'] })],
    ['parquet-by-its-bytes', parquetOf({ prompt: ['a', 'b'] })],
  ])('%s is read by what is in it', async (name, content) => {
    expect(await rowsOf(name, content)).toEqual(rows)
  })

  it('of values between semicolons or tabs is read as such', async () => {
    expect(await rowsOf('a.csv', 'prompt;completion\na, b;c\n')).toEqual([
      { prompt: 'a, b', completion: 'c' },
    ])
    expect(await rowsOf('a.tsv', 'prompt\tcompletion\na\tc\n')).toEqual([{ prompt: 'a', completion: 'c' }])
  })

  it('is read as it is said to be', async () => {
    expect(await rowsOf('a.data', '{"a":1}\n{"a":2}', 'json')).toEqual([{ a: 1 }, { a: 2 }])
  })

  it('tells the line of each row, and goes on after those that cannot be read', async () => {
    const lines = await read('bad.jsonl', '{"a":1}\nno\n\n{"a":2}\n[')
    expect(lines).toEqual([
      { line: 1, row: { a: 1 } },
      { line: 2, row: 'no', problem: 'it is no JSON' },
      { line: 4, row: { a: 2 } },
      { line: 5, row: '[', problem: 'it is no JSON' },
    ])
    const list = await read('bad.json', '[{"a":1},\n{"a" 2},\n\n{"a":3}]')
    expect(list.map(({ line, problem }) => [line, problem])).toEqual([
      [1, undefined],
      [2, 'it is no JSON'],
      [4, undefined],
    ])
    const csv = await read('bad.csv', 'a,b\n1,2\n"x\ny",3\n1,2,3\n4,5\n')
    expect(csv.map(({ line, problem }) => [line, problem])).toEqual([
      [2, undefined],
      [3, undefined],
      [5, expect.stringContaining('columns')],
      [6, undefined],
    ])
  })

  it('says which line is not UTF-8, and which is too long', async () => {
    const bytes = Buffer.from('{"a":"x"}\n{"a":"\xff"}\n{"a":"long"}', 'latin1')
    const [, second] = await read('latin.jsonl', bytes)
    expect(second).toMatchObject({ line: 2, problem: 'it is not UTF-8' })
    const rows = await allOf(readLines(chunksOf(bytes, [3, 5, 9]), 10))
    expect(rows.map(({ problem }) => problem)).toEqual([
      undefined,
      'it is not UTF-8',
      'it has 12 bytes, more than any row may',
    ])
  })

  it.each([
    ['empty.jsonl', '', 'is empty; leave it out.'],
    ['blank.csv', ' \n\n', 'is empty; leave it out.'],
    ['no.parquet', 'not a parquet file', 'is no Parquet file that can be read ('],
    ['cut.json', '[{"a":1},\n{"a":', 'ends before the row that begins in line 2 does; it was cut off'],
    ['open.json', '[{"a":1}', 'ends before the list does; it was cut off'],
    ['words.json', '[{"a":1},\nhello]', 'is no list of rows: line 2 has "h" where a row should begin'],
    ['packed.jsonl.gz', '\x1f\x8b\b', 'is compressed; unpack it with gunzip.'],
    ['export.zip', 'PK\x03\x04', 'is a zip archive; unpack it, and name the files in it.'],
  ])('%s is refused in one sentence', async (name, content, sentence) => {
    const refused = await read(name, Buffer.from(content, 'latin1')).catch((error: FacetError) => error)
    expect(refused).toBeInstanceOf(FacetError)
    expect((refused as FacetError).message).toContain(`${join(folder, name)} ${sentence}`)
  })

  it('that is not there, or a folder, is said to be so', async () => {
    await expect(openSource(join(folder, 'none.jsonl'))).rejects.toThrow(
      'none.jsonl is not there; check the name.',
    )
    await expect(openSource(folder)).rejects.toThrow('is a folder; name the files in it.')
  })
})

describe('in chunks of any size', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 60 })
  const rows = fc.array(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), { maxLength: 8 })

  it('lines and lists give the rows that were written', async () => {
    await fc.assert(
      fc.asyncProperty(rows, sizes, fc.nat(2), async (written, cuts, indent) => {
        const plain = JSON.parse(JSON.stringify(written)) as unknown
        const list = Buffer.from(JSON.stringify(written, null, indent))
        const fromList = await allOf(readJsonList(chunksOf(list, cuts), 'x'))
        expect(fromList.map(({ row }) => row)).toEqual(plain)
        const lines = Buffer.from(written.map((row) => `${JSON.stringify(row)}\n`).join(''))
        const fromLines = await allOf(readLines(chunksOf(lines, cuts)))
        expect(fromLines.map(({ row }) => row)).toEqual(plain)
      }),
    )
  })

  it('any bytes are rows, or refused in one sentence', async () => {
    const marks = fc.constantFrom(...'[]{},:"\\\n 1a'.split('')).map((mark) => mark.charCodeAt(0))
    const bytes = fc.array(fc.oneof(marks, fc.nat(255)), { maxLength: 80 }).map((all) => Uint8Array.from(all))
    await fc.assert(
      fc.asyncProperty(bytes, sizes, async (any, cuts) => {
        await allOf(readLines(chunksOf(any, cuts)))
        await allOf(readJsonList(chunksOf(any, cuts), 'x')).catch((error: unknown) => {
          if (!(error instanceof FacetError)) throw error
        })
        for (const type of ['csv', 'parquet'] as const) {
          await read('any', any, type).catch((error: unknown) => {
            if (!(error instanceof FacetError)) throw error
          })
        }
      }),
      { numRuns: 200 },
    )
  })
})
