/** Rows of a tuning's data, looked at before a machine is paid for: whether the job's script can read them. */
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { isObject, shown } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import { splitLines } from '../data/read/lines.ts'
import type { TuneKind, TuneSpec } from './spec.ts'

/**
 * The rules are those of the scripts: `facet_chat.py` and `facet_pairs.py`. Data in buckets is not looked at.
 *
 * @param folder that paths of the spec are relative to
 * @throws FacetError invalid_request with file, line and what to do; io_failed
 */
export async function checkRows({ kind, data, evalData }: TuneSpec, folder: string): Promise<void> {
  await checkFile('data', data, kind, folder)
  if (evalData !== undefined) await checkFile('evalData', evalData, kind, folder)
}

async function checkFile(
  field: 'data' | 'evalData',
  file: string,
  kind: TuneKind,
  folder: string,
): Promise<void> {
  if (file.startsWith('gs://')) return
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const maker = kind === 'reward' ? 'facet tune preferences' : 'facet tune data'
  let line = 0
  for await (const { bytes } of splitLines(createReadStream(resolve(folder, file)), Infinity)) {
    line++
    const problem = problemOf(bytes!, kind, decoder)
    if (problem === undefined) continue
    const says = `${field}: ${file}, line ${line}: ${problem}; make the file with ${maker}.`
    throw new FacetError('invalid_request', says, { field })
  }
}

function problemOf(bytes: Uint8Array, kind: TuneKind, decoder: TextDecoder): string | undefined {
  let row: unknown
  try {
    const text = decoder.decode(bytes)
    if (text.trim() === '') return undefined
    row = JSON.parse(text)
  } catch {
    return 'it is no JSON, or was cut off'
  }
  if (!isObject(row)) return `a row must be an object, but is ${shown(row)}`
  if (kind === 'sft') return conversationProblem(row.messages)
  if (kind === 'rlhf' && row.prompt === undefined) return conversationProblem(row.messages)
  const { prompt } = row
  if (!isList(prompt)) return `prompt ${MESSAGES}`
  if (kind === 'rlhf') return turnsProblem([...prompt, { role: 'assistant', content: '' }])
  return (['chosen', 'rejected'] as const)
    .map((field) => {
      const answer = row[field]
      if (!isList(answer)) return `${field} ${MESSAGES}`
      return turnsProblem([...prompt, ...answer])
    })
    .find((problem) => problem !== undefined)
}

const MESSAGES = 'must be a list of messages with role and content'
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value) && value.length > 0

function conversationProblem(messages: unknown): string | undefined {
  return isList(messages) ? turnsProblem(messages) : `messages ${MESSAGES}`
}

/** A system message may come first; then user and assistant take turns, and the assistant has the last word. */
function turnsProblem(messages: readonly unknown[]): string | undefined {
  let turns = 0
  for (const [index, message] of messages.entries()) {
    const { role, content } = isObject(message) ? message : {}
    if (typeof content !== 'string')
      return `the content of message ${index + 1} must be a text, but is ${shown(content)}`
    if (role === 'system' && index === 0) continue
    const expected = turns % 2 === 0 ? 'user' : 'assistant'
    if (role !== expected)
      return `the role of message ${index + 1} must be ${expected}, but is ${shown(role)}`
    turns++
  }
  return turns > 0 && turns % 2 === 0 ? undefined : 'it must end with what the assistant answers'
}
