import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../../src/errors.ts'
import { checkRows } from '../../../src/tune/job/rows.ts'
import type { TuneKind } from '../../../src/tune/job/spec.ts'
import { temporary } from '../../convert/checkpoints.ts'

const folder = await temporary()
const turn = (role: string, content: unknown) => ({ role, content })
const asked = turn('user', 'How do bees dance?')
const said = turn('assistant', 'In eights.')
const other = turn('assistant', 'In circles.')

async function check(kind: TuneKind, text: string): Promise<void> {
  await writeFile(join(folder, 'rows.jsonl'), text)
  await checkRows({ kind, on: 'local-docker', model: 'gemma-2b-it', data: 'rows.jsonl' }, folder)
}

const refused = (kind: TuneKind, ...rows: readonly unknown[]): Promise<string> =>
  check(kind, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n')).then(
    () => 'nothing',
    (error: Error) => error.message,
  )

describe('rows of a tuning', () => {
  it('pass where the script of their kind reads them', async () => {
    const messages = [turn('system', 'Be short.'), asked, said]
    const pair = { prompt: [asked], chosen: [said], rejected: [other], margin: 1 }
    expect(await refused('sft', { messages }, '', { messages: [asked, said] })).toBe('nothing')
    expect(await refused('reward', pair)).toBe('nothing')
    expect(await refused('rlhf', pair, { messages })).toBe('nothing')
  })

  it('are refused by file and line, with what is wrong and what makes good ones', async () => {
    const good = { messages: [asked, said] }
    const says = (kind: TuneKind, row: unknown) => refused(kind, good, row)
    expect(await says('sft', '{"messages": [{"role"')).toBe(
      'data: rows.jsonl, line 2: it is no JSON, or was cut off; make the file with facet tune data.',
    )
    expect(await says('sft', { messages: [turn('owner', 'a'), said] })).toContain(
      'line 2: the role of message 1 must be user, but is "owner";',
    )
    expect(await says('sft', { messages: [asked, asked] })).toContain('message 2 must be assistant')
    expect(await says('sft', { messages: [asked] })).toContain('must end with what the assistant answers')
    expect(await says('sft', { messages: [turn('system', 'a')] })).toContain('must end with')
    expect(await says('sft', { messages: [turn('user', 3), said] })).toContain('must be a text, but is 3')
    expect(await says('sft', { messages: [] })).toContain('messages must be a list')
    expect(await says('sft', [1])).toContain('a row must be an object, but is a list')
    expect(await says('rlhf', { text: 'a' })).toContain('messages must be a list')
    expect(await refused('reward', good)).toBe(
      'data: rows.jsonl, line 1: prompt must be a list of messages with role and content; make the file with facet tune preferences.',
    )
    expect(await refused('reward', { prompt: [asked], chosen: [said] })).toContain('rejected must be a list')
  })

  it('never end in anything but a pass or one sentence', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<TuneKind>('sft', 'reward', 'rlhf'),
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.record({ messages: fc.jsonValue(), prompt: fc.jsonValue() }).map((row) => JSON.stringify(row)),
        ),
        async (kind, text) => {
          const error: unknown = await check(kind, text).catch((cause: unknown) => cause)
          expect(error === undefined || error instanceof FacetError).toBe(true)
        },
      ),
      { numRuns: 100 },
    )
  })
})
