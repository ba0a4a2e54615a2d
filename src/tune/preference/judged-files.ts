/** Reads judged pairs from whatever a person gives: files of rows (JSON lines, JSON, CSV, Parquet), and folders of side-by-side runs. */
import { stat } from 'node:fs/promises'
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import { Row } from '../../eval/row.ts'
import { openSource } from '../data/read/source.ts'
import type { Judged } from './judged.ts'
import { toJudged } from './judged-rows.ts'
import { type JudgedBy, readRuns } from './judged-runs.ts'

export interface ReadJudged {
  readonly judged: readonly Judged[]
  /** Pairs of runs that have no verdict. */
  readonly unjudged: number
}

/** @throws FacetError invalid_request (a malformed row, with file and line; no such run), io_failed */
export async function readJudged(paths: readonly string[], by?: JudgedBy): Promise<ReadJudged> {
  const isFolder = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
        throw new FacetError(
          'io_failed',
          `${path} cannot be read (${cause.code}); give a file of pairs, or the folder of a side-by-side run.`,
          { field: 'files', cause },
        )
      })
      return found.isDirectory()
    }),
  )
  const runs = await readRuns(
    paths.filter((_, at) => isFolder[at]),
    by,
  )
  const judged = [...runs.judged]
  for (const path of paths.filter((_, at) => !isFolder[at])) {
    for await (const row of rowsOf(path)) judged.push(toJudged(row))
  }
  return { judged, unjudged: runs.unjudged }
}

/** @throws FacetError invalid_request, with the line of the first row that is none */
async function* rowsOf(path: string): AsyncGenerator<Row> {
  const source = await openSource(path)
  for await (const { row, line, problem } of source.rows(() => {})) {
    const place = { file: path, line }
    if (isObject(row)) yield new Row(row, place)
    else throw new Row({}, place).problem(problem ?? 'it is no object')
  }
}
