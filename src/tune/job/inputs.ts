/** The files on this machine that a job needs: what they hold, and the scripts that read them there. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { FacetError } from '../../errors.ts'
import { attemptScript, scriptsOf } from '../python/files.ts'
import type { DataFile, JobData, JobInputs } from './job.ts'
import type { TuneSpec } from './spec.ts'

const NEWLINE = 0x0a

/**
 * @param folder that paths of the spec are relative to
 * @throws FacetError io_failed, invalid_request for an empty file, both with the field
 */
export async function readData({ data, evalData }: TuneSpec, folder: string): Promise<JobData> {
  return {
    train: await readFile('data', data, folder),
    ...(evalData !== undefined && { eval: await readFile('evalData', evalData, folder) }),
  }
}

/** What is uploaded for the job, under the names by which its settings know it. */
export async function readInputs(spec: TuneSpec, folder: string): Promise<JobInputs> {
  const files = { 'train.jsonl': spec.data, 'eval.jsonl': spec.evalData }
  const near = Object.entries(files).filter(([, from]) => from !== undefined && !isBucket(from))
  const scripts = await scriptsOf(spec.kind, spec.with ?? 'trl')
  return {
    uploads: Object.fromEntries(near.map(([name, from]) => [name, resolve(folder, from!)])),
    scripts: { ...scripts, ...(await attemptScript()) },
  }
}

async function readFile(field: 'data' | 'evalData', from: string, folder: string): Promise<DataFile> {
  if (isBucket(from)) return { from }
  const digest = createHash('sha256')
  let sizeBytes = 0
  let rows = 0
  let last = NEWLINE
  try {
    for await (const chunk of createReadStream(resolve(folder, from)) as AsyncIterable<Buffer>) {
      digest.update(chunk)
      sizeBytes += chunk.length
      for (const byte of chunk) if (byte === NEWLINE) rows++
      last = chunk.at(-1) ?? last
    }
  } catch (cause) {
    throw new FacetError(
      'io_failed',
      `${field}: ${from} cannot be read; make it with facet tune data, or correct the path.`,
      { field, cause },
    )
  }
  if (sizeBytes === 0)
    throw new FacetError('invalid_request', `${field}: ${from} is empty; give it rows.`, { field })
  if (last !== NEWLINE) rows++
  return { from, sha256: digest.digest('hex'), sizeBytes, rows }
}

const isBucket = (from: string): boolean => from.startsWith('gs://')
